import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runCli } from './cli.ts';

let folder = '';
let printed: string[] = [];
let refused: string[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-exec-'));
  printed = [];
  refused = [];
  vi.spyOn(console, 'log').mockImplementation((text: string) => void printed.push(text));
  vi.spyOn(console, 'error').mockImplementation((text: string) => void refused.push(text));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

const file = (name: string, content: string | readonly number[]): string => {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : Uint8Array.from(content));
  return path;
};
async function exec(...args: string[]): Promise<Record<string, unknown>> {
  expect(await runCli(['exec', ...args])).toBe(0);
  return JSON.parse(printed.pop() ?? '') as Record<string, unknown>;
}

describe('vm exec', () => {
  it('prints the state after the code, and the memory it was given', async () => {
    const code = file('code.bin', [0x48, 0x8b, 0x03, 0x48, 0x01, 0xc8, 0x48, 0x89, 0x03, 0x66, 0x0f, 0xfe, 0xc0, 0xf4]); // mov rax, [rbx]; add rax, rcx; mov [rbx], rax; paddd xmm0, xmm0; hlt
    const state = file('in.json', '{"rbx": "0xe000_0000", "rcx": 2, "xmm": [["3", "0x100000000"]], "memory": [{"at": "0xe0000000", "bytes": "28"}, {"at": 8192, "bytes": 2}]}');
    expect(await exec(code, '--at', '0x1000', '--mode', 'long', '--state', state)).toMatchObject({
      rax: '0x2a', rip: '0x100e', stop: 'halt', exception: null, instructions: 5, x87Tag: '0xffff', mxcsr: '0x1f80',
      memory: [{ at: '0xe0000000', bytes: '2a' }, { at: '0x2000', bytes: '0000' }],
    });
    expect((await exec(code, '--state', state)).xmm).toMatchObject({ 0: ['0x6', '0x200000000'], 1: ['0x0', '0x0'] });
  });

  it('tells the exception', async () => {
    const state = file('in.json', '{"rsp": 4096, "x87": [{"mantissa": "0x8000000000000000", "exponent": "0xbfff"}]}');
    expect(await exec(file('code.bin', [0x0f, 0x0b]), '--mode', 'protected', '--state', state)).toMatchObject({
      stop: 'exception', exception: 6, rip: '0x10000', rsp: '0x1000', x87: { 0: { mantissa: '0x8000000000000000', exponent: '0xbfff' } },
    });
  });

  it('runs real-mode code, stops where it is told, and keeps to a budget', async () => {
    const code = file('code.bin', [0x40, 0xeb, 0xfd]); // inc ax; jmp back
    expect(await exec(code, '--mode', 'real', '--at', '0x7c00', '--budget', '7')).toMatchObject({ stop: 'budget', rax: '0x4', cs: '0x0' });
    expect(await exec(code, '--mode', 'real', '--at', '0x7c00', '--stop-at', '0x7c01')).toMatchObject({ stop: 'address', rax: '0x1', rip: '0x7c01' });
  });

  it('takes registers of their own, by short names, and what it has printed', async () => {
    const code = file('code.bin', [0x40, 0xf4]); // inc eax; hlt
    const first = file('in.json', '{"registers": {"eax": 41, "esp": "0x7000", "eflags": "0x206"}, "memory": [{"at": 4096, "bytes": [1, 2]}]}');
    const state = await exec(code, '--mode', 'protected', '--state', first);
    expect(state).toMatchObject({ rax: '0x2a', rsp: '0x7000', errorCode: null, memory: [{ at: '0x1000', bytes: '0102' }] });
    const second = file('out.json', JSON.stringify({ ...state, rip: '0x10000' }));
    expect(await exec(code, '--mode', 'protected', '--state', second)).toMatchObject({ rax: '0x2b', rsp: '0x7000', memory: [{ at: '0x1000', bytes: '0102' }] });
    expect(await runCli(['exec', code, '--state', file('twice.json', '{"rax": 1, "registers": {"eax": 2}}')])).toBe(2);
    expect(refused).toEqual(['vm exec: --state: rax is there twice']);
  });

  it('says what is wrong in one line', async () => {
    const code = file('code.bin', [0xf4]);
    const refuse = async (line: string, ...args: string[]): Promise<void> => {
      expect(await runCli(['exec', ...args])).toBe(2);
      expect(refused.pop()).toBe(`vm exec: ${line}`);
    };
    await refuse('exec needs a file with machine code');
    await refuse('--at: expected a number such as 4096 or "0x1000", got "here"', code, '--at', 'here');
    await refuse('--state: nothing is named raxx; did you mean rax?', code, '--state', file('a.json', '{"raxx": 1}'));
    await refuse('memory[0].bytes: expected hexadecimal digits in pairs, a list of bytes, or a count of zeros', code, '--state', file('b.json', '{"memory": [{"at": 0, "bytes": "abc"}]}'));
    await refuse('selector: 0x0, 0x8, 0x10, 0x23, 0x2b or 0x33 expected, got 0x7', code, '--state', file('c.json', '{"ds": 7}'));
    await refuse('xmm: expected a list of at most 16', code, '--state', file('d.json', '{"xmm": 1}'));
  });
});
