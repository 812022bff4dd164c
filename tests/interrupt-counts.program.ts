/** A machine for tests/bare/counts.c, in a process of its own: the test runner's way to import costs a loop of small functions most of its time. */
import './setup/v8-flags.ts';
import './setup/shadow.ts';
import './setup/translator.ts';
import { readFileSync } from 'node:fs';
import { memoryDisk } from '@vm/block';
import type { BlockBackend } from '@vm/core';
import { bootGuest, testDevices } from '@vm/pc';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';

/** What the test hands over, as JSON. */
export interface CountedMachine {
  readonly kernel: string; // a path, as the disk
  readonly disk: string;
  readonly environment: string;
  readonly processors: number;
  readonly enlightened: boolean;
}
/** What comes back. */
export interface CountedEnd {
  readonly code: number;
  readonly output: string;
  readonly reads: number; // of the disk's back end
  readonly counters: Readonly<Record<string, number>>;
}

const { kernel, disk: image, environment, processors, enlightened } = JSON.parse(process.argv[2]!) as CountedMachine;
let reads = 0;
const contents = memoryDisk(readFileSync(image));
const disk: BlockBackend = { ...contents, read: (at, into) => { reads++; return contents.read(at, into); } };
let finish: (code: number) => void = () => {};
const ended = new Promise<number>((resolve) => (finish = resolve));
await using guest = await bootGuest<WasmVcpu>({
  engine: wasmEngine(), ramBytes: 64 * 2 ** 20, processors, kernel: readFileSync(kernel), entry: 'multiboot', onReset: 'end', disks: [{ disk, bus: 'ata' }],
  ...(enlightened ? { enlighten: 'hyperv-full' } : {}), clock: { kind: 'virtual', nanosPerInstruction: 10 },
  modules: [{ bytes: new TextEncoder().encode(environment), text: 'env' }], devices: [testDevices({ exit: (code) => finish(code), shutdown: () => {}, echoBytes: true })],
});
void guest.ended().then(() => finish(-1));
const code = await ended;
const end: CountedEnd = { code, output: guest.output.replaceAll('\r', ''), reads, counters: guest.machine.counters.read() };
console.log(JSON.stringify(end));
