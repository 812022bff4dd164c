export { replay, type ReplayResult } from './replay.ts';
export { recordingEngine } from './recording-engine.ts';
export { type Exit, exitText, parseTrace } from './trace.ts';
