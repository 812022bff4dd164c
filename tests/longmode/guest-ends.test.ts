/** LMS-11: every excursion ends, whatever the guest does, and the 64-bit side goes on. */
import { buildMonitor, type MonitorOptions } from '@vm/longmode-switch';
import { type Assembler, addressOf, createAssembler, r16, r32, RAX, RBX, RCX, segment } from '@vm/x86';
import { expect, it } from 'vitest';
import { runMonitor } from '../../examples/world-switch/src/run-monitor.ts';
import { runBare } from '../bare-run.ts';

const BASE = 0x40_0000;
const GOES_ON = 'monitor: first program: right\r\nmonitor: second program: right\r\nmonitor: end\r\n';

async function ends(write: (a: Assembler) => void, options: Partial<MonitorOptions> = {}): Promise<{ readonly code: number; readonly said: string }> {
  const a = createAssembler(32, { origin: BASE });
  write(a);
  const { bytes } = buildMonitor({ guest: { kind: 'flat', bytes: a.bytes() }, ...options });
  const { output, code } = await runBare({ kernel: bytes });
  expect(output.endsWith(GOES_ON)).toBe(true);
  return { code, said: output.slice('monitor: in long mode\r\n'.length, -GOES_ON.length) };
}
const toUser = (a: Assembler): Assembler => a.mov(r32(RAX), 2).mov(r32(RBX), addressOf('user')).mov(r32(RCX), BASE + 0x1_0000).int(0x30).label('user');
const word = (value: number): string => `${value.toString(16).padStart(16, '0')} `;
const fault = (vector: number, errorCode: number, selector: number, address: number): string => `monitor: a fault of the guest: ${[vector, errorCode, selector, address].map(word).join('')}\r\n`;

it('an invalid instruction in ring 0', async () => {
  expect(await ends((a) => a.nop().ud2())).toEqual({ code: 1, said: fault(6, 0, 0x10, BASE + 1) });
});

it('a page that is not there, in ring 0 and with PAE tables', async () => {
  expect((await ends((a) => a.mov(r32(RAX), { kind: 'memory', bytes: 4, displacement: 0x4000_0000 }), { paging: 'pae' })).said).toBe(fault(14, 0, 0x10, BASE));
});

it('a segment that is none, in ring 0', async () => {
  expect((await ends((a) => a.mov(r32(RAX), 0x48).mov(segment(3), r16(RAX)))).said).toContain(`${word(13)}${word(0x48)}`);
});

it.each(['always', 'avoid'] as const)('a HLT in ring 3, excursions %s', async (excursion) => {
  expect((await ends((a) => toUser(a).hlt(), { excursion })).said).toContain(`${word(13)}${word(0)}${word(0x33)}`);
});

it('the pages of the switch, which ring 3 has no right to', async () => {
  expect((await ends((a) => toUser(a).mov({ kind: 'memory', bytes: 4, displacement: 0x9_0000 }, 0), { excursion: 'always' })).said).toContain(`${word(14)}${word(7)}`);
});

it('a loop that asks for nothing: the watchdog counts the ticks of its residence', async () => {
  expect(await ends((a) => a.label('loop').jmp('loop'), { watchdogTicks: 5 })).toEqual({ code: 0, said: 'monitor: the guest asks for nothing, and has been stopped\r\n' });
});

it('a HLT with interrupts off, in ring 0: the timer is an NMI as well', async () => {
  const guest = createAssembler(32, { origin: BASE }).cli().label('loop').hlt().jmp('loop').bytes();
  const { output, code } = await runMonitor(guest, { watchdogTicks: 5 });
  expect([code, output]).toEqual([0, `monitor: in long mode\r\nmonitor: the guest asks for nothing, and has been stopped\r\n${GOES_ON}`]);
});

it('a request for what there is not', async () => {
  expect((await ends((a) => a.mov(r32(RAX), 99).int(0x30))).said).toBe('monitor: the guest asks for what there is not, and has been stopped\r\n');
});
