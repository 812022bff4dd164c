/** What a guest that waits costs the host: turns of the machine's loop are counted, not time. */
import { setTimeout } from 'node:timers/promises';
import { bootGuest, type Guest } from '@vm/pc';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import type { Assembler } from '@vm/x86';
import { expect, it } from 'vitest';
import { outByte, print, smallKernel } from './small-kernel.ts';

const MiB = 2 ** 20;
const WAIT_MS = 500;
const DIVISOR = 11_932; // 100 Hz
const PIT_MODE_2 = 0x34; // counter 0, both bytes, rate generator
/** Of the board's own: its clock's seconds. */
const OWN_TURNS = 8;
/** One that comes too early, for want of precision of the host, and the right one; a loop that does not sleep takes thousands. */
const MOST_TURNS_A_FIRE = 4;

function waiting(write: (code: Assembler) => void): Promise<Guest<WasmVcpu>> {
  const kernel = smallKernel((code) => {
    write(code);
    print(code, 'waits');
    code.label('wait').hlt().jmp('wait');
  });
  return bootGuest({ engine: wasmEngine({ haltedForGood: () => undefined }), ramBytes: 16 * MiB, kernel, clock: { kind: 'host' } });
}
async function countsWhileItWaits(guest: Guest<WasmVcpu>): Promise<{ readonly slices: number; readonly instructions: number; readonly fires: number }> {
  await guest.waitFor('waits');
  while ((guest.machine.counters.read()['cpu.halts'] ?? 0) === 0) await setTimeout(1);
  const before = guest.machine.counters.read();
  await setTimeout(WAIT_MS);
  const after = guest.machine.counters.read();
  const grown = (name: string): number => after[name]! - before[name]!;
  return { slices: grown('loop.slices'), instructions: grown('cpu.instructions'), fires: grown('clock.fires') };
}

it('nothing, while nothing is due', async () => {
  await using guest = await waiting(() => undefined);
  const { slices, instructions } = await countsWhileItWaits(guest);
  expect(instructions).toBe(0);
  expect(slices).toBeLessThanOrEqual(OWN_TURNS);
});

it('a few turns for each time that a timer of its devices is due', async () => {
  await using guest = await waiting((code) => {
    outByte(code, 0x43, PIT_MODE_2);
    for (const byte of [DIVISOR & 0xff, DIVISOR >> 8]) outByte(code, 0x40, byte);
  });
  const { slices, instructions, fires } = await countsWhileItWaits(guest);
  expect(instructions).toBe(0); // interrupts are off
  expect(slices).toBeLessThanOrEqual(MOST_TURNS_A_FIRE * fires + OWN_TURNS);
});
