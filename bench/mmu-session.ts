import { type ChildProcess, fork } from 'node:child_process';
import type { ShadowMode } from '@vm/vcpu-wasm';
import type { GuestFiles } from './guest-commands.ts';
import type { MmuMessage, MmuResult } from './mmu-guest.ts';

/** A guest under one policy of shadow tables, in a process of its own. */
export class MmuSession implements Disposable {
  readonly #child: ChildProcess;
  readonly #ready: Promise<MmuMessage>;

  constructor(shadow: ShadowMode, { kernel, initrd, append, memoryMiB }: GuestFiles) {
    this.#child = fork(new URL('mmu-guest.ts', import.meta.url), [shadow, kernel, initrd, String(memoryMiB), append]);
    this.#ready = this.#answer();
  }
  async ready(): Promise<void> { await this.#ready; }
  /** Runs a command in the guest's shell. */
  async run(command: string): Promise<readonly MmuResult[]> {
    const answer = this.#answer();
    this.#child.send(command);
    const message = await answer;
    return 'results' in message ? message.results : [];
  }
  #answer(): Promise<MmuMessage> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        this.#child.off('message', heard);
        this.#child.off('exit', ended);
      };
      const heard = (message: unknown): void => {
        done();
        resolve(message as MmuMessage);
      };
      const ended = (code: number | null): void => {
        done();
        reject(new Error(`the process of a guest ended with ${code}`));
      };
      this.#child.on('message', heard).on('exit', ended);
    });
  }
  [Symbol.dispose](): void { this.#child.kill('SIGKILL'); }
}
