export { BlockError } from './block-error.ts';
export { memoryDisk } from './memory-disk.ts';
export { overlay } from './overlay.ts';
export { readOnly } from './read-only.ts';
