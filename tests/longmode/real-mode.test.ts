/** LMS-03, LMS-08, LMS-11, LMS-12: a guest in real mode, without protection and without virtual-8086 mode. */
import { buildMonitor, type MonitorOptions } from '@vm/longmode-switch';
import { type Assembler, createAssembler, r16, r32, RAX } from '@vm/x86';
import { itWithOracle } from '@vm/testkit/oracle';
import { expect, it } from 'vitest';
import { runImage } from '../../examples/world-switch/src/run-monitor.ts';
import { runInBochs, runInQemu } from './other-processors.ts';
import { checkingRealGuest, REAL_TRANSCRIPT, realGuest } from './real-guest.ts';
import { eventAtEveryBoundary } from './round-trips.ts';
import { SteppedMonitor } from './stepped-monitor.ts';

const BASE = 0x7c00;
const sample = (order: 'claimed' | 'manual') => buildMonitor({ guest: { kind: 'real', bytes: realGuest() }, hz: 500, order });

it.each(['claimed', 'manual'] as const)('comes to its end here, and so do the programs of the 64-bit side, order %s', async (order) => {
  expect(await runImage(sample(order).bytes)).toEqual({ code: 0, output: REAL_TRANSCRIPT });
});

itWithOracle(it, 'qemu-system-x86_64', "says the same on QEMU's translator", async (qemu) => {
  expect(await runInQemu(qemu, sample('claimed'), 'multiboot')).toBe(REAL_TRANSCRIPT);
});

itWithOracle(it, 'bochs', 'says the same on Bochs, from a disk', async (bochs) => {
  expect(await runInBochs(bochs, sample('claimed'))).toBe(REAL_TRANSCRIPT);
});

it('leaves every register of the 64-bit side as it was', () => {
  const monitor = new SteppedMonitor({ guest: { kind: 'real', bytes: checkingRealGuest() } });
  monitor.runTo(monitor.image.excursionCode.first);
  const before = monitor.host();
  monitor.runTo(monitor.image.excursionCode.last);
  expect(monitor.host()).toBe(before);
  expect([monitor.vector, monitor.kept, monitor.changed]).toEqual([0x30, 1, 0]);
});

it.each(['nmi', 'interrupt'] as const)('an event (%s) comes once, whatever instruction of the way it comes before, and changes nothing', (kind) => {
  const monitor = new SteppedMonitor({ guest: { kind: 'real', bytes: checkingRealGuest() } });
  const latencies = eventAtEveryBoundary(monitor, kind);
  expect(monitor.kept).toBeGreaterThan(latencies.length);
  expect(latencies.length).toBeGreaterThan(200);
  expect(Math.max(...latencies)).toBeLessThan(2 * latencies.length);
});

const GOES_ON = 'monitor: first program: right\r\nmonitor: second program: right\r\nmonitor: end\r\n';

async function ends(write: (a: Assembler) => void, options: Partial<MonitorOptions> = {}): Promise<{ readonly code: number; readonly said: string }> {
  const a = createAssembler(16, { origin: BASE });
  write(a);
  const { output, code } = await runImage(buildMonitor({ guest: { kind: 'real', bytes: a.bytes() }, rounds: 1000, ...options }).bytes);
  expect(output.endsWith(GOES_ON)).toBe(true);
  return { code, said: output.slice('monitor: in long mode\r\n'.length, -GOES_ON.length) };
}
const fault = (vector: number, address: number): string => `monitor: a fault of the guest: ${[vector, 0, 0, address].map((value) => `${value.toString(16).padStart(16, '0')} `).join('')}\r\n`;

it('an invalid instruction, and any vector that the guest has not set, is its end', async () => {
  expect(await ends((a) => a.nop().ud2())).toEqual({ code: 1, said: fault(6, BASE + 1) });
  expect(await ends((a) => a.int(0x61))).toEqual({ code: 1, said: fault(0x61, BASE + 2) });
});

it('a loop, and a HLT with interrupts off, are left by the timer', async () => {
  const said = 'monitor: the guest asks for nothing, and has been stopped\r\n';
  expect(await ends((a) => a.label('loop').jmp('loop'), { watchdogTicks: 5, nmiTicks: false })).toEqual({ code: 0, said });
  expect(await ends((a) => a.cli().label('loop').hlt().jmp('loop'), { watchdogTicks: 5 })).toEqual({ code: 0, said });
});

it('there is no ring to be asked for, no paging, and no excursion to be avoided', async () => {
  expect((await ends((a) => a.xor(r16(RAX), r16(RAX)).mov(r32(RAX), 2).int(0x30))).said).toBe('monitor: the guest asks for what there is not, and has been stopped\r\n');
  const guest = { kind: 'real', bytes: realGuest() } as const;
  expect(() => buildMonitor({ guest, paging: 'pae' })).toThrow(/has no page tables/);
  expect(() => buildMonitor({ guest, excursion: 'avoid' })).toThrow(/cannot be avoided or batched/);
  expect(() => buildMonitor({ guest: { kind: 'disk', bytes: new Uint8Array(512) }, paging: 'unpaged' })).toThrow(/needs page tables/);
});
