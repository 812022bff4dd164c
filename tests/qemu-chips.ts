/** Chips of QEMU, driven from outside by its test protocol: the processor stands still, so nothing but the program touches them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';

/** Children of QEMU's board in the order in which it makes them. */
export const MASTER = '/machine/unattached/device[6]', SLAVE = '/machine/unattached/device[7]', IO_APIC = '/machine/i440fx/ioapic';

export class QemuChips {
  readonly #process: ChildProcess;
  readonly #lines: Interface;
  readonly #waiting: ((answer: string) => void)[] = [];
  readonly #said: string[] = [];

  constructor(qemu: string, options: readonly string[] = []) {
    this.#process = spawn(qemu, ['-machine', 'pc', '-accel', 'tcg', '-S', '-nodefaults', '-display', 'none', '-qtest', 'stdio', '-qtest-log', '/dev/null', ...options], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#process.stderr!.on('data', (text: Buffer) => this.#said.push(text.toString()));
    this.#process.on('exit', () => this.#waiting.splice(0).forEach((answer) => answer(`the chips are gone: ${this.#said.join('')}`)));
    this.#lines = createInterface({ input: this.#process.stdout! });
    this.#lines.on('line', (line) => {
      if (line.startsWith('OK') || line.startsWith('FAIL') || line.startsWith('ERR')) this.#waiting.shift()?.(line);
    });
  }

  /** Answers of commands, in order: the value of reads, 0 for others. */
  async run(commands: readonly string[]): Promise<number[]> {
    const answers = commands.map(() => new Promise<string>((resolve) => this.#waiting.push(resolve)));
    this.#process.stdin!.write(`${commands.join('\n')}\n`);
    return (await Promise.all(answers)).map((answer, i) => {
      if (!answer.startsWith('OK')) throw new Error(`${commands[i]}: ${answer}`);
      return Number(answer.slice(3).trim() || 0);
    });
  }

  /** The same with a clock that can be let run: the processor does nothing but halt. */
  static async withClock(qemu: string): Promise<QemuChips & { pass(): Promise<void> }> {
    const folder = mkdtempSync(join(tmpdir(), 'vm-chips-'));
    const bios = new Uint8Array(0x1_0000).fill(0xf4);
    bios.set([0xfa, 0xf4, 0xeb, 0xfd], 0xfff0); // CLI, HLT, and again after an NMI
    writeFileSync(join(folder, 'bios'), bios);
    const path = join(folder, 'control');
    const chips = new QemuChips(qemu, ['-bios', join(folder, 'bios'), '-qmp', `unix:${path},server=on,wait=off`]);
    await chips.run(['inb 0x61']); // up, so that somebody listens
    const control = await new Promise<Socket>((resolve, reject) => {
      const socket = connect(path, () => resolve(socket));
      socket.once('error', reject);
    });
    rmSync(folder, { recursive: true });
    const waiting: ((line: string) => void)[] = [];
    createInterface({ input: control }).on('line', (line) => {
      if (line.includes('"return"') || line.includes('"error"')) waiting.shift()?.(line);
    });
    const execute = async (command: string): Promise<void> => {
      const answer = new Promise<string>((resolve) => waiting.push(resolve));
      control.write(`${JSON.stringify({ execute: command })}\n`);
      const line = await answer;
      if (line.includes('"error"')) throw new Error(`${command}: ${line}`);
    };
    await execute('qmp_capabilities');
    return Object.assign(chips, {
      pass: async () => {
        await execute('cont');
        await execute('stop');
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lines.close();
    const ended = this.#process.exitCode === null ? once(this.#process, 'exit') : null;
    this.#process.kill('SIGKILL');
    await ended;
  }
}
