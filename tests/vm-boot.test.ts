import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Assembler, CONDITION_NE, r16, r32, r8, RAX, RCX, RDX } from '@vm/x86';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { echo, outByte, powerOff, print, smallKernel, spin } from './small-kernel.ts';
import { printed, type Result, start, VM } from './vm-program.ts';

let folder = '';
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-boot-'))));
afterAll(() => rmSync(folder, { recursive: true }));

function writeKernel(name: string, write: (code: Assembler) => void): string {
  const path = join(folder, name);
  writeFileSync(path, smallKernel(write));
  return path;
}

function boot(kernel: string, more: readonly string[] = [], input = ''): Promise<Result> {
  return start([...VM, 'boot', '--kernel', kernel, '--memory', '16M', ...more], input).done;
}

it('ends with 0 when the guest turns itself off, and passes on all it wrote', async () => {
  const kernel = writeKernel('off', (code) => {
    print(code, 'hello, world\n');
    powerOff(code);
    spin(code);
  });
  expect(await boot(kernel)).toEqual({ code: 0, output: 'hello, world\n', errors: '' });
});

it('ends with 3 and the state of the processor when the guest crashes', async () => {
  const kernel = writeKernel('crash', (code) => void code.ud2()); // no interrupt table: a triple fault
  const { code, errors } = await boot(kernel);
  expect(code).toBe(3);
  expect(errors).toContain('vm: the processor has shut down');
  expect(errors).toMatch(/rip 0010:0{10}100200 .*\nrax /);
});

it('tells of every processor when one of several crashes', async () => {
  const kernel = writeKernel('crash', (code) => void code.ud2());
  const { code, errors } = await boot(kernel, ['--cpus', '3']);
  expect(code).toBe(3);
  expect(errors).toMatch(/^processor 0:\nrip 0010:0{10}100200 .*\nrax [^]*\nprocessor 1, which has not been started\nprocessor 2, which has not been started$/m);
});

describe('an instruction in kernel mode that the processor does not have', () => {
  const lost = (code: Assembler): void => {
    print(code, 'here');
    code.data(0x0f, 0x04);
    spin(code);
  };

  it('is the end, with 3, the state of the processor and what it did last', async () => {
    const { code, output, errors } = await boot(writeKernel('lost', lost));
    expect([code, output]).toEqual([3, 'here']);
    expect(errors).toContain('vm: unknown instruction in kernel mode: an invalid encoding at 10:000000000010021c\n');
    expect(errors).toMatch(/ {8}\d {2}out port 03f8 65\n/);
  });

  it('is an exception for the guest with --keep-going', async () => {
    const { code, errors } = await boot(writeKernel('lost', lost), ['--keep-going']);
    expect(code).toBe(3);
    expect(errors).toContain('vm: the processor has shut down');
    expect(errors).toMatch(/exception 06 at 000000000010021c\n.*exception 0d .*\n.*exception 08 /);
  });

  it('is looked up among the symbols of the kernel', async () => {
    const map = join(folder, 'System.map');
    writeFileSync(map, '0000000000100200 T startup\n0000000000100210 T printing\n0000000000100300 T end\n');
    const { errors } = await boot(writeKernel('lost', lost), ['--keep-going', '--system-map', map]);
    expect(errors).toContain('exception 06 at 000000000010021c printing+0xc\n');
  });
});

it('ends with 3 and the state of the processor when the kernel panics', async () => {
  const kernel = writeKernel('panic', (code) => {
    print(code, '---[ end Kernel panic - not syncing: lost ]---\n');
    spin(code);
  });
  const { code, output, errors } = await boot(kernel);
  expect([code, output]).toEqual([3, '---[ end Kernel panic - not syncing']); // there and no further
  expect(errors).toMatch(/^vm: the guest has panicked\nrip 0010:/);
});

it('ends with 124 when the time is over, and with 0 when the text was seen', async () => {
  const kernel = writeKernel('spin', (code) => {
    print(code, 'one two three\n');
    spin(code);
  });
  const late = await boot(kernel, ['--timeout', '700ms']);
  expect([late.code, late.output, late.errors]).toEqual([124, 'one two three\n', 'vm: still running after 700 ms\n']);
  expect(await boot(kernel, ['--exit-on', 'two thr', '--timeout', '60s'])).toMatchObject({ code: 0, errors: '' });
});

it('prints statistics for people and for programs', async () => {
  const kernel = writeKernel('count', (code) => {
    for (let i = 0; i < 5; i++) outByte(code, 0x3f8, 0x2e);
    powerOff(code);
    spin(code);
  });
  const { code, errors } = await boot(kernel, ['--stats=json']);
  expect(code).toBe(0);
  const statistics = JSON.parse(errors) as { readonly instructions: number; readonly counters: Readonly<Record<string, number>> };
  expect(statistics.instructions).toBe(5 * 3 + 3);
  expect(statistics.counters['pio.writes']).toBe(6);
  expect((await boot(kernel, ['--stats'])).errors).toMatch(/^time .*\ninstructions +18 /);
});

it('lists the hottest regions, with the names of the System.map', async () => {
  const kernel = writeKernel('hot', (code) => {
    code.mov(r32(RCX), 1000).label('turn').add(r32(RAX), 3).dec(r32(RCX)).jcc(CONDITION_NE, 'turn');
    powerOff(code);
    spin(code);
  });
  const map = join(folder, 'System.map');
  writeFileSync(map, '0000000000100200 T start\n0000000000200000 T end\n');
  // The budget that the device takes away when it turns the machine off is not counted.
  const { code, errors } = await boot(kernel, ['--translator', 'eager', '--stats', '--trace-hot=1', '--system-map', map]);
  expect(code).toBe(0);
  expect(errors).toMatch(/\ntranslated +100\.0 % of the instructions, 3004 an entry;/);
  expect(errors).toContain('\nhot regions: 1 of 1, in which 100.0 % of 3,004 instructions ran; 100.0 % ran in all of them\n');
  expect(errors).toMatch(/\n {2}100\.0 % +3,004 +1 +3004\.0 +8 +[\d,]+ +1 {2}start: change 100\.0 %\n/);
  expect((await boot(kernel, ['--translator', 'off', '--trace-hot'])).errors).toBe('hot regions: none, because no code was translated\n');
  expect((await boot(kernel, ['--trace-hot=none'])).errors).toContain('--trace-hot: expected a number of regions, got "none"');
});

describe('a reset by the guest', () => {
  const reset = (code: Assembler): void => {
    print(code, 'boot.');
    outByte(code, 0xcf9, 0x06);
    spin(code);
  };
  it('boots again', async () => {
    const { output } = await boot(writeKernel('reset', reset), ['--exit-on', 'boot.boot.boot.', '--timeout', '60s']);
    expect(output).toMatch(/^(boot\.){3}/);
  });
  it('is no triple fault of a program that has no interrupt table yet', async () => {
    expect((await boot(writeKernel('breakpoint', (code) => void code.data(0xcc)))).code).toBe(3);
  });
  it('may be a triple fault, when it is one on purpose', async () => {
    const kernel = writeKernel('triple', (code) => {
      print(code, 'boot.');
      code.data(0x6a, 0, 0x6a, 0, 0x0f, 0x01, 0x1c, 0x24).data(0xcc); // push 0; push 0; lidt [rsp]; int3
    });
    expect(await boot(kernel, ['--no-reboot'])).toEqual({ code: 0, output: 'boot.', errors: 'vm: the guest has reset the machine\n' });
    expect((await boot(kernel, ['--exit-on', 'boot.boot.boot.', '--timeout', '60s'])).code).toBe(0);
  });
  it('ends with --no-reboot', async () => {
    expect(await boot(writeKernel('reset', reset), ['--no-reboot'])).toEqual({ code: 0, output: 'boot.', errors: 'vm: the guest has reset the machine\n' });
  });
});

it('the processor draws other numbers in each run, and the same ones from the same seed', async () => {
  const kernel = writeKernel('random', (code) => {
    for (let i = 0; i < 16; i++) code.data(0x0f, 0xc7, 0xf0, 0x24, 0x3f, 0x04, 0x20).mov(r16(RDX), 0x3f8).out(r16(RDX), r8(RAX)); // rdrand eax; al = 0x20 + (al & 0x3f)
    powerOff(code);
    spin(code);
  });
  const drawn = async (...more: readonly string[]): Promise<string> => (await boot(kernel, more)).output;
  const virtual = await drawn('--clock', 'virtual');
  expect(virtual).toHaveLength(16);
  const seven = await drawn('--seed', '7', '--clock', 'host');
  expect(await drawn('--seed', '0x7', '--clock', 'virtual')).toBe(seven);
  expect(new Set([virtual, seven, await drawn(), await drawn()]).size).toBe(4);
});

describe('input that is no terminal', () => {
  it('is typed whole, however much it is and however early it comes', async () => {
    const kernel = writeKernel('echo', echo);
    const text = Array.from({ length: 100_000 }, (_, i) => String.fromCharCode(0x20 + ((i * 7919) % 80))).join('').replaceAll('q', '_');
    const { code, output } = await boot(kernel, ['--timeout', '120s'], `${text}\x01x\xff\0q`);
    expect(code).toBe(0);
    expect(output).toBe(`ready\n${text}\x01x\xff\0q`);
  });

  it('does not end the machine when it ends', async () => {
    const kernel = writeKernel('echo', echo);
    expect(await boot(kernel, ['--timeout', '1500ms'], 'abc')).toMatchObject({ code: 124, output: 'ready\nabc' });
  });
});

describe('a script', () => {
  it('is typed line by line, each when the prompt has come', async () => {
    const script = join(folder, 'script');
    writeFileSync(script, 'first>\n\nsecond>\nq\n');
    const kernel = writeKernel('prompt', (code) => {
      print(code, '> ');
      echo(code);
    });
    expect(await boot(kernel, ['--script', script, '--prompt', '>'])).toMatchObject({ code: 0, output: '> ready\nfirst>\nsecond>\nq' });
  });
});

describe('signals', () => {
  it('press the power button, and end at the second time', async () => {
    const kernel = writeKernel('listen', (code) => {
      print(code, 'up');
      spin(code);
    });
    const { child, done } = start([...VM, 'boot', '--kernel', kernel, '--memory', '16M'], null);
    await printed(child, 'up');
    child.kill('SIGTERM');
    await new Promise((resolve) => child.stderr!.once('data', resolve));
    child.kill('SIGTERM');
    const { code, errors } = await done;
    expect([code, errors]).toEqual([143, 'vm: SIGTERM presses the power button; a second one ends the machine at once\nvm: ended by SIGTERM\n']);
  });

  it('reach a guest that asks for the button', async () => {
    const kernel = writeKernel('button', (code) => {
      print(code, 'up');
      // The power button sets bit 8 of the status in the PM1 event block.
      code.label('poll').data(0x66, 0xba, 0x00, 0x06).data(0x66, 0xed).data(0xf6, 0xc4, 0x01).data(0x74, 0xf5);
      powerOff(code);
      spin(code);
    });
    const { child, done } = start([...VM, 'boot', '--kernel', kernel, '--memory', '16M'], null);
    await printed(child, 'up');
    child.kill('SIGTERM');
    expect((await done).code).toBe(0);
  });
});

it('says that its output cannot be written', async () => {
  const kernel = writeKernel('hello', (code) => {
    print(code, 'hello, world\n');
    powerOff(code);
    spin(code);
  });
  const shown = [...VM, 'boot', '--kernel', kernel, '--memory', '16M'].map((word) => `'${word}'`).join(' ');
  expect(await start(['sh', '-c', `${shown} >/dev/full`], '').done).toEqual({ code: 1, output: '', errors: 'vm: the output cannot be written: no space is left on the device\n' });
});

it('ends without a word when nobody reads its output any more', async () => {
  const kernel = writeKernel('chatter', (code) => {
    code.label('more');
    print(code, 'x'.repeat(64));
    code.jmp('more');
  });
  const { child, done } = start([...VM, 'boot', '--kernel', kernel, '--memory', '16M', '--timeout', '60s'], null);
  await printed(child, 'xxxx');
  child.stdout!.destroy();
  expect(await done).toMatchObject({ code: 1, errors: '' });
});
