import { describe, expect, it } from 'vitest';
import { runFlat } from './index.ts';

describe('runFlat of the testkit', () => {
  it('runs the example of the README', () => {
    const result = runFlat({
      code: [0x48, 0x8b, 0x03, 0x48, 0x01, 0xc8, 0xf4], // mov rax, [rbx]; add rax, rcx; hlt
      at: 0x1_0000, mode: 'long', registers: { rbx: 0xe000_0000, rcx: 2n }, memory: [{ at: 0xe000_0000, bytes: [40, 0, 0, 0, 0, 0, 0, 0] }],
    });
    expect(result).toMatchObject({ rax: 42n, stop: 'halt', exception: null, rip: 0x1_0007n });
  });
});
