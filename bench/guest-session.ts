import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { PROMPT } from '@vm/cli';

/** One command in a guest's shell. */
export interface Answer {
  readonly output: string;
  /** Host time, in seconds, at which the character at an index of the output came. */
  readonly arrivedAt: (index: number) => number;
  /** Host time from the command to its end. */
  readonly seconds: number;
  /** Time of the host's processors that the program with the guest took meanwhile, in all its threads. */
  readonly cpuSeconds: number;
}

const TICKS_A_SECOND = 100; // USER_HZ
const MOST_SECONDS = 1200;

/** A guest's shell behind the standard input and output of a program. */
export class GuestSession {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  readonly #begin = performance.now() / 1000;
  /** When the output last ended with a prompt. */
  #prompted = NaN;
  #output = '';
  /** When how much of the present command's output had come. */
  #arrivals: { readonly length: number; readonly seconds: number }[] = [];
  #length = 0;
  #commands = 0;
  #wake: () => void = () => undefined;
  /** What the program itself has said. */
  errors = '';

  constructor([program, ...args]: readonly string[]) {
    this.#child = spawn(program!, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdout!.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString('latin1');
      this.#length += chunk.length;
      this.#arrivals.push({ length: this.#length, seconds: performance.now() / 1000 });
      if (this.#output.endsWith(PROMPT)) this.#prompted = performance.now() / 1000;
      this.#wake();
    });
    this.#child.stderr!.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    this.#ended = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', (code) => {
        resolve(code);
        this.#wake();
      });
    });
  }

  /** Waits for the shell; answers how long that took from the start of the program, in seconds. */
  async ready(): Promise<number> {
    await this.#until(PROMPT);
    return this.#prompted - this.#begin;
  }

  async run(command: string): Promise<Answer> {
    const end = `end ${6 * 7} of ${++this.#commands}\r\n`;
    const cpu = this.cpuSeconds;
    const begin = performance.now();
    this.#arrivals = [];
    this.#length = this.#output.length;
    // What is echoed does not look like the end.
    this.#child.stdin!.write(`${command}; echo end $((6 * 7)) of ${this.#commands}\n`);
    const output = await this.#until(end);
    const seconds = (performance.now() - begin) / 1000;
    const cpuSeconds = this.cpuSeconds - cpu;
    const arrivals = this.#arrivals;
    await this.#until(PROMPT);
    return { output, arrivedAt: (index) => arrivals.find(({ length }) => length > index)?.seconds ?? NaN, seconds, cpuSeconds };
  }
  /** Turns the guest off; the program ends by itself. */
  async powerOff(): Promise<void> {
    this.#child.stdin!.write('poweroff -f\n');
    const timer = setTimeout(() => this.kill(), 60_000);
    await this.#ended;
    clearTimeout(timer);
  }
  kill(): void { this.#child.kill('SIGKILL'); }
  /** Time of the host's processors that the program took so far, in all its threads: utime and stime (proc(5)). */
  get cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.#child.pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
  }
  /** Memory of the host that the program has, and the most that it had (VmRSS and VmHWM of proc(5)). */
  get memoryMiB(): { readonly now: number; readonly most: number } {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'latin1');
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? NaN) / 1024;
    return { now: field('VmRSS'), most: field('VmHWM') };
  }

  /** Takes the output up to and including a text. */
  async #until(text: string): Promise<string> {
    const deadline = Date.now() + MOST_SECONDS * 1000;
    for (;;) {
      const at = this.#output.indexOf(text);
      if (at >= 0) {
        const taken = this.#output.slice(0, at + text.length);
        this.#output = this.#output.slice(at + text.length);
        return taken;
      }
      if (this.#child.exitCode !== null || Date.now() > deadline) throw new Error(`${this.#child.spawnfile} did not say ${JSON.stringify(text)}: ${this.errors.slice(-500)}${this.#output.slice(-1000)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
