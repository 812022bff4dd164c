import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootGuest } from '@vm/pc';
import { wasmEngine } from '@vm/vcpu-wasm';
import type { Assembler } from '@vm/x86';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { echo, print, smallKernel, spin } from './small-kernel.ts';
import { type Run, runOf } from './vm-run.ts';
import { printed, start, type Started, underLoad, VM } from './vm-program.ts';

const INSTRUCTIONS_A_BYTE = 3; // of `print`

let folder = '';
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-determinism-'))));
afterAll(() => rmSync(folder, { recursive: true }));

function virtual(kernel: string, more: readonly string[], input: string | null = '', memory = '16M'): Started {
  return start([...VM, 'boot', '--kernel', kernel, '--memory', memory, '--clock', 'virtual', '--stats=json', ...more], input);
}

function writeKernel(name: string, write: (code: Assembler) => void): string {
  const path = join(folder, name);
  writeFileSync(path, smallKernel(write));
  return path;
}

describe('under the virtual clock', () => {
  it('--exit-on ends at the very instruction that sends the last byte', async () => {
    const kernel = writeKernel('chatter', (code) => {
      print(code, 'one two three four');
      spin(code);
    });
    const run = runOf(await virtual(kernel, ['--exit-on', 'three']).done);
    expect(run).toMatchObject({ code: 0, output: 'one two three', instructions: 'one two three'.length * INSTRUCTIONS_A_BYTE });
  });

  it('input comes at the same instructions however late and in whatever pieces the host delivers it', async () => {
    const kernel = writeKernel('echo', echo);
    const text = `${'a line of text, '.repeat(200)}q`;
    const whole = runOf(await virtual(kernel, [], text).done);
    const { child, done } = virtual(kernel, [], null);
    for (let at = 0; at < text.length; at += 700) {
      child.stdin!.write(text.slice(at, at + 700));
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    child.stdin!.end();
    expect(runOf(await done)).toEqual(whole);
    expect(whole).toMatchObject({ code: 0, output: `ready\n${text}` });
  });

  it('a script is typed at the same instructions under load', async () => {
    const script = join(folder, 'script');
    writeFileSync(script, 'first>\nsecond>\nq\n');
    const kernel = writeKernel('prompt', (code) => {
      print(code, '> ');
      echo(code);
    });
    const run = async (): Promise<Run> => runOf(await virtual(kernel, ['--script', script, '--prompt', '>']).done);
    const alone = await run();
    expect(alone).toMatchObject({ code: 0, output: '> ready\nfirst>\nsecond>\nq' });
    expect(await underLoad(2, run)).toEqual(alone);
  });

  it('a session is recorded as it was typed, and replayed at the same instructions', async () => {
    const kernel = writeKernel('echo', echo);
    const log = join(folder, 'log');
    const { child, done } = virtual(kernel, ['--record', log], null);
    await printed(child, 'ready');
    for (const keys of ['he', 'll', 'o \x01\xff\n', 'q']) {
      child.stdin!.write(keys, 'latin1');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const recorded = runOf(await done);
    expect(recorded).toMatchObject({ code: 0, output: 'ready\nhello \x01\xff\nq' });
    expect(readFileSync(log, 'utf8')).toMatch(/^vm-inputs 1\nbasis \{.*\}\n(\d+ \d+ type ".*"\n)+\d+ \d+ end\n$/);
    expect(runOf(await virtual(kernel, ['--replay', log], 'ignored').done)).toEqual(recorded);
  });

  it('a replay ends where the record ends, and says so when it is another run', async () => {
    const kernel = writeKernel('echo', echo);
    const log = join(folder, 'log');
    const recorded = runOf(await virtual(kernel, ['--record', log, '--exit-on', 'xyz'], 'xyz').done);
    expect(recorded).toMatchObject({ code: 0, output: 'ready\nxyz' });
    const replayed = await virtual(kernel, ['--replay', log]).done;
    const fires = { 'clock.fires': recorded.counters['clock.fires']! + 1 }; // one timer more, for the end
    expect(runOf(replayed)).toEqual({ ...recorded, counters: { ...recorded.counters, ...fires } });
    expect(replayed.errors).toContain('vm: the record ends here\n');
    const text = readFileSync(log, 'utf8');
    writeFileSync(log, text.replace(/^(\d+) (\d+) type/m, (_line, nanos: string, instructions: string) => `${nanos} ${Number(instructions) + 1} type`));
    const strayed = await virtual(kernel, ['--replay', log]).done;
    expect(strayed.code).toBe(1);
    expect(strayed.errors).toMatch(/vm: replay: this is another run: the input of instruction \d+ would come at instruction \d+\n/);
    const other = writeKernel('other', (code) => void echo(code.nop()));
    expect(await virtual(other, ['--replay', log]).done).toMatchObject({ code: 2, errors: 'vm boot: --replay: the record was made with another kernel\n' });
  });

  it('a program that waits and types does so at the same instructions, alone and beside another machine', async () => {
    const session = async (): Promise<readonly number[]> => {
      await using guest = await bootGuest({ engine: wasmEngine(), ramBytes: 16 * 2 ** 20, kernel: smallKernel(echo), clock: { kind: 'virtual', nanosPerInstruction: 10 } });
      const counts: number[] = [];
      for (const [wait, keys] of [['ready\n', 'one '], ['one ', 'two 3'], [/\d/, 'q']] as const) {
        await guest.waitFor(wait);
        counts.push(guest.machine.vcpu.retired);
        guest.type(keys);
      }
      await guest.poweredOff();
      return [...counts, guest.machine.vcpu.retired];
    };
    const alone = await session();
    expect(await Promise.all([session(), session()])).toEqual([alone, alone]);
  });
});
