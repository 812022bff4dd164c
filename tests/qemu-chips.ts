/** Chips of QEMU, driven from outside by its test protocol: the processor stands still, so nothing but the program touches them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
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

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lines.close();
    const ended = this.#process.exitCode === null ? once(this.#process, 'exit') : null;
    this.#process.kill('SIGKILL');
    await ended;
  }
}
