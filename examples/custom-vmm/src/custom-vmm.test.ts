import { describe, expect, it } from 'vitest';
import { runProgram } from './custom-vmm.ts';
import { writeProgram } from './program.ts';

describe('a machine of one device', () => {
  it('runs a program that talks to the device and gets its answers', async () => {
    const heard: string[] = [];
    const visit = await runProgram(writeProgram(['hello, host', 'bye'], 0x8000), (line) => line.length + heard.push(line), [0x8000, 0x8001]);
    expect(heard).toEqual(['hello, host', 'bye']);
    // The machine stops at the line that says bye, in front of the instruction that would keep its answer.
    expect([visit.reason, ...visit.memory]).toEqual(['power-off', 12, 0]);
  });

  it('takes the same number of instructions every time', async () => {
    const counts = [];
    for (let i = 0; i < 2; i++) counts.push((await runProgram(writeProgram(['once more', 'bye'], 0x8000), () => 0)).instructions);
    expect(counts[0]).toBeGreaterThan(10);
    expect(counts[1]).toBe(counts[0]);
  });
});
