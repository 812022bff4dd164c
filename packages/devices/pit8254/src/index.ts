export { PIT_HZ, pit8254, type Pit8254Config } from './pit8254.ts';
