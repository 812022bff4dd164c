export { parseTrace, type TraceEvent } from './trace.ts';
export { replay, type ReplayOptions, type ReplayResult } from './replay.ts';
