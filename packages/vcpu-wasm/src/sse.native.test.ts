import { describePackedInstructions } from './native/packed-test.ts';
import { listPackedEncodings } from './native/packed-case.ts';

describePackedInstructions('MMX and SSE instructions', listPackedEncodings, 300);
