import { modeEntry, planSwitch, switchMode } from '@vm/longmode-switch';
import { control, createAssembler, mem, r32, RAX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { FLAT_MEMORY, SWITCH_PAGE } from '../../packages/longmode-switch/src/monitor/memory-map.ts';
import { GDT_BYTES, LEGACY_GATES, LEGACY_GATES_BYTES, LEGACY_TASK, TASK_STATE, TASK_STATE_BYTES } from '../../packages/longmode-switch/src/switch-area.ts';
import { SteppedMonitor } from './stepped-monitor.ts';

const CODE_AT = FLAT_MEMORY + 0x1800;
const SEEN_AT = FLAT_MEMORY + 0x3000;
const DATA_PAGE = SWITCH_PAGE + 0x1000;

describe.each(['32-bit', 'pae'] as const)('a processor that is moved from outside, %s', (paging) => {
  it('runs 32-bit code at ring 0, and goes on in long mode as if nothing had been', () => {
    const monitor = new SteppedMonitor({ paging });
    const { excursionCode: { first }, setup, excursion } = monitor.image;
    monitor.runTo(first);
    monitor.step();
    monitor.runTo(first); // the page has been established
    const before = monitor.host();
    const { vcpu, view } = monitor.machine;
    const code = createAssembler(32, { origin: CODE_AT }).mov(r32(RAX), control(0)).mov(mem(4, { displacement: SEEN_AT }), r32(RAX)).mov(r32(RAX), control(4)).mov(mem(4, { displacement: SEEN_AT + 4 }), r32(RAX)).label('end').jmp('end');
    monitor.machine.put(CODE_AT, code.bytes());
    const pointers = new Uint8Array(32);
    pointers.set(monitor.machine.bytes.subarray(setup.legacy.cr3, setup.legacy.cr3 + 32));
    const entry = modeEntry(CODE_AT, FLAT_MEMORY + 0x8000, {
      gdt: { base: BigInt(DATA_PAGE), limit: GDT_BYTES - 1 }, idt: { base: BigInt(DATA_PAGE + LEGACY_GATES), limit: LEGACY_GATES_BYTES - 1 },
      task: { selector: LEGACY_TASK, base: BigInt(DATA_PAGE + TASK_STATE), limit: TASK_STATE_BYTES - 1 }, ...(paging === 'pae' ? { directoryPointers: pointers } : {}),
    });
    const left = switchMode(vcpu, excursion.toLegacy, entry);
    monitor.step(10);
    expect([view.getUint32(SEEN_AT, true), view.getUint32(SEEN_AT + 4, true)]).toEqual([setup.legacy.cr0, setup.legacy.cr4]);
    const again = switchMode(vcpu, excursion.toLong, left);
    expect(Number(again.rip)).toBeGreaterThan(CODE_AT);
    // What is worked out again from segments may be worked out otherwise.
    const plain = (text: string): string => text.replace(/"plainLimits":\d+|"limit":\d+|"directoryPointers":"\w+"/g, '');
    expect(plain(monitor.host())).toBe(plain(before));
    const { rounds } = monitor;
    monitor.step(2000);
    expect([monitor.rounds > rounds, monitor.wrong]).toEqual([true, 0]);
  });

  it('is left alone when it is in another mode than the plan says', () => {
    const monitor = new SteppedMonitor({ paging });
    monitor.runTo(monitor.image.excursionCode.first);
    const before = monitor.host();
    const entry = modeEntry(0, 0, { gdt: { base: 0n, limit: 0 }, idt: { base: 0n, limit: 0 }, task: { selector: 0, base: 0n, limit: 0 } });
    expect(() => switchMode(monitor.machine.vcpu, planSwitch(monitor.image.setup, 'to-long'), entry)).toThrow(/not in the mode that the plan begins in: its CR0/);
    expect(monitor.host()).toBe(before);
  });
});
