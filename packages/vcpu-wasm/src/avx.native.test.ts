import { describePackedInstructions } from './native/packed-test.ts';
import { listVexEncodings } from './native/packed-case.ts';

describePackedInstructions('instructions with a VEX prefix', listVexEncodings, 800);
