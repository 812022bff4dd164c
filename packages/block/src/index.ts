export { BlockError } from './block-error.ts';
export { memoryDisk } from './memory-disk.ts';
export type { NbdChannel } from './nbd-channel.ts';
export type { ExportedDisk, NbdExport } from './nbd-export.ts';
export { serveNbd } from './nbd-server.ts';
export { overlay } from './overlay.ts';
export { readOnly } from './read-only.ts';
