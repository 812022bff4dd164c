/** A guest under one policy of shadow tables, in a process of its own as its peer has one. `MmuSession` starts it and says what to run. */
import { readFileSync } from 'node:fs';
import { PROMPT } from '@vm/cli';
import { bootGuest } from '@vm/pc';
import { type ShadowMode, wasmEngine } from '@vm/vcpu-wasm';
import { setV8Flags } from '@vm/vcpu-wasm/node';
import { type ProgramResult, resultsIn } from './guest-programs.ts';

/** What a program's line cost, a unit of its work. */
export interface MmuResult {
  readonly result: ProgramResult;
  /** Of the host's processors, in all threads. */
  readonly cpuMicros: number;
  readonly instructions: number;
  readonly counts: Readonly<Record<Watched, number>>;
}
export type Watched = keyof typeof WATCHED;
/** From the process: when the guest's shell is there, and after each command. */
export type MmuMessage = { readonly ready: true } | { readonly results: readonly MmuResult[] };

const COMMAND_MS = 1_200_000;
const WATCHED = { walks: 'cpu.shadow.guestWalks', fills: 'cpu.shadow.fills', intercepts: 'cpu.shadow.intercepts' } as const;

/** Runs a program and looks at the counters at each of its lines. */
async function runProgram(command: string): Promise<MmuResult[]> {
  const found: MmuResult[] = [];
  guest.type(`${command}\n`);
  let before = guest.machine.counters.read();
  let cpu = process.cpuUsage();
  for (;;) {
    const output = await guest.waitFor(/^BENCH .*\r?\n|vm:.*# /m, { timeoutMs: COMMAND_MS });
    const [result] = resultsIn(output);
    if (result === undefined) return found;
    const after = guest.machine.counters.read();
    const { user, system } = process.cpuUsage(cpu);
    const of = (counter: string): number => ((after[counter] ?? 0) - (before[counter] ?? 0)) / result.units;
    const counts = Object.fromEntries(Object.entries(WATCHED).map(([name, counter]) => [name, of(counter)])) as Record<Watched, number>;
    found.push({ result, counts, cpuMicros: (user + system) / result.units, instructions: of('cpu.instructions') });
    before = after;
    cpu = process.cpuUsage();
  }
}

setV8Flags();
const [shadow, kernel, initrd, memoryMiB, commandLine] = process.argv.slice(2) as [ShadowMode, string, string, string, string];
const guest = await bootGuest({
  engine: wasmEngine({ shadow }), kernel: readFileSync(kernel), initrd: readFileSync(initrd), ramBytes: Number(memoryMiB) * 2 ** 20, commandLine, startMs: Date.now(),
});
await guest.waitFor(PROMPT, { timeoutMs: COMMAND_MS });
const say = (message: MmuMessage): unknown => process.send?.(message);
process.on('message', (command: string) => void runProgram(command).then((results) => say({ results })));
process.on('disconnect', () => process.exit());
say({ ready: true });
