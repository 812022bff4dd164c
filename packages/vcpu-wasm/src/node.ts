export { setV8Flags } from './node/v8-flags.ts';
