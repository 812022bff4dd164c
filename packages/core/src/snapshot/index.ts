export type { RestoreOptions, SaveOptions } from './machine-parts.ts';
export type { PagesAhead } from './pages-ahead.ts';
export { decodePlain, encodePlain } from './plain-code.ts';
export { readSnapshot } from './saved-machine.ts';
export type { PageCodec, SavedMachine, SavedPages, SnapshotHead, SnapshotSink } from './saved-machine.ts';
