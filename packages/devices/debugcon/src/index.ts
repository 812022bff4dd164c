export { debugcon, type DebugconConfig } from './debugcon.ts';
