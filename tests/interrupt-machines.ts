import { PROMPT } from '@vm/cli';
import { bootGuest, type Enlightenment } from '@vm/pc';
import { wasmEngine } from '@vm/vcpu-wasm';
import { expect } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import type { KernelName } from './kernel-matrix.ts';

/** One boot: what the machine has for interrupts, what the kernel is told, and what it then uses. */
export interface InterruptMachine {
  readonly kernel: KernelName;
  readonly apic: 'none' | 'xapic' | 'x2apic'; // of the machine
  readonly processors: number;
  readonly options?: string; // of the kernel
  readonly enlighten?: Enlightenment;
  readonly uses: 'XT-PIC' | 'IO-APIC' | 'IR-IO-APIC';
  readonly clockSource: string;
  readonly eventDevice: string;
  readonly online?: number; // default: all processors
  readonly says?: readonly string[];
  readonly saysNot?: readonly string[];
}

const LACKING = { none: ['apic', 'x2apic', 'tsc-deadline'], xapic: ['x2apic'], x2apic: [] } as const;
const SHELL_MS = 500_000;
const COMMAND_MS = 60_000;
const MiB = 2 ** 20;

/** Under the virtual clock: the same every time. */
export function itUses(machine: InterruptMachine): void {
  const { kernel, apic, processors, options = '', enlighten = 'none', uses, clockSource, eventDevice, online = processors, says = [], saysNot = [] } = machine;
  itWithGuest(kernel, `${kernel}, ${apic}, processors ${processors}, ${enlighten} ${options}: ${uses}, ${clockSource}, ${eventDevice}`, async (image) => {
    await using guest = await bootGuest({
      engine: wasmEngine({ cpuWithout: LACKING[apic] }), ramBytes: 256 * MiB, processors, enlighten, kernel: image.kernelBytes, initrd: image.initrdBytes, onReset: 'end',
      ...(apic === 'none' ? { apic: false } : {}), commandLine: `console=ttyS0 quiet cryptomgr.notests ${options}`, clock: { kind: 'virtual', nanosPerInstruction: 10 },
    });
    await guest.waitFor(PROMPT, { timeoutMs: SHELL_MS });
    const ask = (command: string): Promise<string> => {
      guest.type(`${command}\n`);
      return guest.waitFor(PROMPT, { timeoutMs: COMMAND_MS });
    };
    expect(await ask('cat /sys/devices/system/clocksource/clocksource0/current_clocksource')).toContain(`\n${clockSource}\r`);
    expect(await ask('cat /sys/devices/system/clockevents/clockevent0/current_device')).toContain(`\n${eventDevice}\r`);
    expect(await ask('grep -c ^processor /proc/cpuinfo')).toContain(`\n${online}\r`);
    const log = await ask('dmesg');
    for (const text of says) expect(log).toContain(text);
    for (const text of ['unchecked MSR', 'Call Trace', ...saysNot]) expect(log).not.toContain(text);
    const table = await ask('cat /proc/interrupts');
    expect(table).toMatch(new RegExp(`^ +4: .* ${uses} .*ttyS0`, 'm'));
    guest.type('reboot -f\n');
    expect(await guest.ended()).toBe('reset');
    const counters = guest.machine.counters.read();
    const byPic = [...table.matchAll(/^ +\d+:((?: +\d+)+) +XT-PIC/gm)].flatMap(([, numbers]) => numbers!.trim().split(/ +/).map(Number)).reduce((sum, count) => sum + count, 0);
    // Linux ends interrupts of the 8259 by their number and never by rank; one of the slave is two ends.
    expect(counters['device.pic.ends.plain']).toBe(0);
    if (uses === 'XT-PIC') {
      expect(byPic).toBeGreaterThan(200);
      expect(counters['device.pic.ends.specific']).toBeGreaterThanOrEqual(byPic);
    } else expect(counters['device.pic.ends.specific']).toBeLessThan(100);
    expect(counters['device.local-apic.ends.spurious']).toBe(0);
    if (apic === 'none') expect(counters['device.local-apic.registers.reads']! + counters['device.local-apic.registers.writes']! + counters['device.local-apic.model-registers.reads']!).toBe(0);
  });
}
