/** `vm boot` on a pseudo-terminal, which script(1) makes; `stty` looks at its mode before and after. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { PROMPT } from '@vm/cli';
import { findOracle, itWithOracle } from '@vm/testkit/oracle';
import { type Assembler, CONDITION_NE, r16, r32, r8, RAX, RBX, RCX, RDX } from '@vm/x86';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import { echo, powerOff, print, smallKernel, spin } from './small-kernel.ts';
import { printed, start, type Started, VM } from './vm-program.ts';

let folder = '';
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-terminal-'))));
afterAll(() => rmSync(folder, { recursive: true }));

function writeKernel(name: string, write: (code: Assembler) => void): string {
  const path = join(folder, name);
  writeFileSync(path, smallKernel(write));
  return path;
}

const shown = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const MODE = "stty -a | grep -ow -e '-*icanon'";

/** The program's process is the one in the file `pid`, so that it gets what is sent there and not the shell around it. */
function onTerminal(script: string, options: readonly string[], node: readonly string[] = [], before = ''): Started {
  const [program = '', ...rest] = VM;
  const run = [program, ...node, ...rest, 'boot', ...options].map(shown).join(' ');
  const command = `${before} ${MODE}; sh -c ${shown(`echo $$ >${join(folder, 'pid')}; exec ${run}`)}; echo "code $?"; ${MODE}`;
  return start([script, '-qec', command, '/dev/null'], null, { TERM: 'xterm-test' });
}

const small = (kernel: string): string[] => ['--kernel', kernel, '--memory', '16M'];
const pid = (): number => Number(readFileSync(join(folder, 'pid'), 'utf8'));
const outputOf = async ({ done }: Started): Promise<string> => (await done).output.replaceAll('\r', '');

describe('keys', () => {
  itWithOracle(it, 'script', 'go to the guest one by one, but for Ctrl-A x, which quits', async (script) => {
    const terminal = onTerminal(script, small(writeKernel('echo', echo)));
    await printed(terminal.child, 'ready');
    const answered = printed(terminal.child, '\x01c');
    terminal.child.stdin!.write('ab\x03\x01\x01c', 'latin1');
    await answered;
    terminal.child.stdin!.write('\x01x', 'latin1');
    expect(await outputOf(terminal)).toBe('icanon\nready\nab\x03\x01ccode 0\nicanon\n');
  });

  itWithOracle(it, 'script', 'behind Ctrl-A help and show statistics', async (script) => {
    const terminal = onTerminal(script, small(writeKernel('echo', echo)));
    await printed(terminal.child, 'ready');
    terminal.child.stdin!.write('\x01h\x01sq', 'latin1');
    const output = await outputOf(terminal);
    expect(output).toContain('Ctrl-A x       quit');
    expect(output).toMatch(/instructions +[\d,]+ \(/);
    expect(output).toMatch(/qcode 0\nicanon\n$/);
  });
});

describe('the terminal is given back', () => {
  const typed = async (script: string, keys: string, more: readonly string[] = []): Promise<string> => {
    const terminal = onTerminal(script, [...small(writeKernel('echo', echo)), ...more]);
    await printed(terminal.child, 'ready');
    terminal.child.stdin!.write(keys, 'latin1');
    return outputOf(terminal);
  };

  itWithOracle(it, 'script', 'when the guest turns itself off', async (script) => {
    expect(await typed(script, 'xyzq')).toBe('icanon\nready\nxyzqcode 0\nicanon\n');
  });

  itWithOracle(it, 'script', 'at a time-out', async (script) => {
    expect(await typed(script, 'x', ['--timeout', '2s'])).toBe('icanon\nready\nx\nvm: still running after 2.0 s\ncode 124\nicanon\n');
  });

  itWithOracle(it, 'script', 'when the guest crashes', async (script) => {
    const output = await outputOf(onTerminal(script, small(writeKernel('crash', (code) => void code.ud2()))));
    expect(output).toMatch(/^icanon\nvm: .*triple fault[^]*\nrip 0010:[^]*\ncode 3\nicanon\n$/);
  });

  const raw = (code: Assembler): void => {
    print(code, 'up');
    spin(code);
  };
  for (const [signals, code] of [[['SIGTERM', 'SIGTERM'], 143], [['SIGINT'], 130], [['SIGHUP'], 129], [['SIGQUIT'], 131]] as const) {
    itWithOracle(it, 'script', `at ${signals.join(' and ')}`, async (script) => {
      const terminal = onTerminal(script, small(writeKernel('raw', raw)));
      await printed(terminal.child, 'up');
      for (const [i, signal] of signals.entries()) {
        const pressed = printed(terminal.child, 'power button');
        process.kill(pid(), signal);
        if (i < signals.length - 1) await pressed;
      }
      expect(await outputOf(terminal)).toMatch(new RegExp(`^icanon\nup\n[^]*vm: ended by ${signals[0]}\ncode ${code}\nicanon\n$`));
    });
  }

  itWithOracle(it, 'script', 'when the program itself fails', async (script) => {
    const lost = 'data:text/javascript,process.on("SIGUSR2",()=>{throw new Error("lost")})';
    const terminal = onTerminal(script, small(writeKernel('raw', raw)), ['--import', lost]);
    await printed(terminal.child, 'up');
    process.kill(pid(), 'SIGUSR2');
    expect(await outputOf(terminal)).toMatch(/^icanon\nup[^]*Error: lost[^]*\ncode \d+\nicanon\n$/);
  });
});

itWithOracle(it, 'script', 'the terminal is taken again when the program goes on after a stop', async (script) => {
  const terminal = onTerminal(script, small(writeKernel('echo', echo)), [], 'tty;');
  let seen = '';
  terminal.child.stdout!.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')));
  await printed(terminal.child, 'ready');
  const device = /^(\/dev\/pts\/\d+)/.exec(seen)![1]!;
  const mode = (): string => /-?\bicanon/.exec(spawnSync('stty', ['-F', device, '-a'], { encoding: 'utf8' }).stdout)![0];
  expect(mode()).toBe('-icanon');
  process.kill(pid(), 'SIGSTOP');
  spawnSync('stty', ['-F', device, 'sane']);
  expect(mode()).toBe('icanon');
  process.kill(pid(), 'SIGCONT');
  for (let i = 0; i < 100 && mode() !== '-icanon'; i++) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(mode()).toBe('-icanon');
  terminal.child.stdin!.write('abq', 'latin1');
  expect(await outputOf(terminal)).toMatch(/ready\nabqcode 0\nicanon\n$/);
});

describe('output at full speed', () => {
  const BYTES = 1 << 20;
  const [SEED, FACTOR, TERM] = [1, 1_664_525, 1_013_904_223]; // of a linear congruential generator

  itWithOracle(it, 'script', 'is not garbled, nor when the reader pauses', async (script) => {
    const kernel = writeKernel('flood', (code) => {
      code.mov(r32(RBX), SEED).mov(r32(RCX), BYTES).mov(r16(RDX), 0x3f8);
      // imul ebx, ebx, FACTOR; add ebx, TERM; mov eax, ebx; shr eax, 24; and al, 0x3f; add al, 0x21
      code.label('next').data(0x69, 0xdb, ...dword(FACTOR)).data(0x81, 0xc3, ...dword(TERM)).data(0x89, 0xd8, 0xc1, 0xe8, 24, 0x24, 0x3f, 0x04, 0x21);
      code.out(r16(RDX), r8(RAX)).dec(r32(RCX)).jcc(CONDITION_NE, 'next');
      powerOff(code);
      spin(code);
    });
    const expected = Buffer.alloc(BYTES);
    for (let i = 0, state = SEED; i < BYTES; i++) {
      state = (Math.imul(state, FACTOR) + TERM) >>> 0;
      expected[i] = ((state >>> 24) & 0x3f) + 0x21;
    }
    const terminal = onTerminal(script, small(kernel));
    const { child } = terminal;
    let pauses = 0;
    child.stdout!.on('data', () => {
      if (pauses++ % 40 !== 0) return;
      child.stdout!.pause();
      setTimeout(() => child.stdout!.resume(), 30);
    });
    const output = await outputOf(terminal);
    const flood = output.slice('icanon\n'.length, -'code 0\nicanon\n'.length);
    expect([flood.length, output.slice(-14)]).toEqual([BYTES, 'code 0\nicanon\n']);
    expect(createHash('sha256').update(flood, 'latin1').digest('hex')).toBe(createHash('sha256').update(expected).digest('hex'));
    expect(pauses).toBeGreaterThan(40);
  });
});

function dword(value: number): readonly number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}

const script = findOracle('script');
const title = 'a guest has the terminal, its size, its new size when it is told, and turns itself off at SIGTERM';
if (script === null) itWithOracle(it, 'script', title, () => {});
else {
  itWithGuest('linux-image-cloud-amd64', title, async (image) => {
    const options = ['--kernel', image.kernel, '--initrd', image.initrd, '--append', 'console=ttyS0 quiet cryptomgr.notests', '--memory', '256M'];
    const terminal = onTerminal(script, options, [], 'tty; stty rows 33 cols 111;');
    const { child } = terminal;
    let seen = '';
    child.stdout!.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1').replaceAll('\r', '')));
    let read = 0;
    const until = async (wanted: string): Promise<string> => {
      for (;;) {
        const at = seen.indexOf(wanted, read);
        if (at >= 0) {
          const text = seen.slice(read, at);
          read = at + wanted.length;
          return text;
        }
        if (child.exitCode !== null) throw new Error(`${JSON.stringify(wanted)} never came: ${JSON.stringify(seen.slice(-500))}`);
        await new Promise((resolve) => child.stdout!.once('data', resolve));
      }
    };
    const ask = async (command: string): Promise<string> => {
      child.stdin!.write(`${command}\r`, 'latin1');
      return until(PROMPT);
    };
    await until(PROMPT);
    expect(await ask('stty size; echo $TERM')).toContain('\n33 111\nxterm-test\n');
    const device = /^(\/dev\/pts\/\d+)/.exec(seen)![1]!;
    expect(spawnSync('stty', ['-F', device, 'rows', '44', 'cols', '77']).status).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 300)); // for the signal that tells of it
    child.stdin!.write('\x01w', 'latin1');
    expect(await until(PROMPT)).toContain('stty rows 44 cols 77');
    expect(await ask('stty size')).toContain('\n44 77\n');
    child.stdin!.write("sh -c 'echo pid $$; exec sleep 1000'\r", 'latin1');
    await until('\npid ');
    child.stdin!.write('\x03', 'latin1');
    await until(PROMPT);
    process.kill(pid(), 'SIGTERM');
    expect(await outputOf(terminal)).toMatch(/vm: SIGTERM presses the power button[^]*\nthe power button was pressed\n[^]*reboot: Power down\n[^]*code 0\nicanon\n$/);
  });
}
