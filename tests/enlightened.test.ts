import { PROMPT } from '@vm/cli';
import { bootGuest, type Enlightenment, type EoiPolicy } from '@vm/pc';
import { wasmEngine } from '@vm/vcpu-wasm';
import { describe, expect } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import type { KernelName } from './kernel-matrix.ts';

// Stock kernels take the clock and the timer that the machine's face promises, and end interrupts as it offers. Under the virtual clock.
const SHELL_MS = 500_000;
const COMMAND_MS = 60_000;
const LONG = process.env['VM_LONG'] === '1';

interface Case {
  readonly kernel: KernelName;
  readonly enlighten: Enlightenment;
  readonly eoi?: EoiPolicy;
  readonly processors?: number;
  readonly options?: string; // of the kernel
  readonly says: readonly string[];
  readonly clockSource: string;
  readonly eventDevice: string;
  /** Ends of interrupts without an exit, of all. */
  readonly lazy: 'nearly all' | 'none';
}

const KVM = ['Hypervisor detected: KVM', 'kvm-clock: Using msrs 4b564d01 and 4b564d00'];
const HYPERV = ['Hypervisor detected: Microsoft Hyper-V', 'Hyper-V: LAPIC Timer Frequency: 0x3d0900'];

const CASES: readonly Case[] = [
  { kernel: 'linux-image-cloud-amd64', enlighten: 'kvm', says: [...KVM, 'x2apic enabled', 'Switched to clocksource kvm-clock'], clockSource: 'tsc', eventDevice: 'lapic-deadline', lazy: 'nearly all' },
  { kernel: 'linux-image-cloud-amd64', enlighten: 'hyperv-full', processors: 2, says: [...HYPERV, 'Hyper-V: Using IPI hypercalls', 'Hyper-V: Using enlightened APIC (x2apic mode)', 'Hyper-V: Using hypercall for remote TLB flush'], clockSource: 'hyperv_clocksource_tsc_page', eventDevice: 'Hyper-V clockevent', lazy: 'nearly all' },
  // Of 32 bits, Linux takes Hyper-V's clocks and timers, and has no code for its ends of interrupts.
  { kernel: 'linux-image-686-pae', enlighten: 'hyperv', says: HYPERV, clockSource: 'tsc', eventDevice: 'Hyper-V clockevent', lazy: 'none' },
];
const LONG_CASES: readonly Case[] = [
  { kernel: 'linux-image-cloud-amd64', enlighten: 'none', says: ['TSC deadline timer'], clockSource: 'tsc', eventDevice: 'lapic-deadline', lazy: 'none' },
  { kernel: 'linux-image-cloud-amd64', enlighten: 'kvm', eoi: 'explicit', processors: 2, says: [...KVM, 'x2apic enabled'], clockSource: 'tsc', eventDevice: 'lapic-deadline', lazy: 'none' },
  { kernel: 'linux-image-cloud-amd64', enlighten: 'kvm', processors: 4, says: [...KVM, 'kvm-guest: setup PV IPIs'], clockSource: 'tsc', eventDevice: 'lapic-deadline', lazy: 'nearly all' },
  { kernel: 'linux-image-cloud-amd64', enlighten: 'hyperv', options: 'nox2apic', says: [...HYPERV, 'Hyper-V: Using enlightened APIC (xapic mode)'], clockSource: 'tsc', eventDevice: 'Hyper-V clockevent', lazy: 'nearly all' },
  { kernel: 'linux-image-cloud-amd64', enlighten: 'hyperv', eoi: 'auto', says: HYPERV, clockSource: 'tsc', eventDevice: 'Hyper-V clockevent', lazy: 'none' },
  { kernel: 'linux-image-amd64', enlighten: 'hyperv-full', eoi: 'selective', processors: 4, says: [...HYPERV, 'Hyper-V: Using IPI hypercalls'], clockSource: 'hyperv_clocksource_tsc_page', eventDevice: 'Hyper-V clockevent', lazy: 'nearly all' },
  { kernel: 'linux-image-686-pae', enlighten: 'kvm', says: KVM, clockSource: 'tsc', eventDevice: 'lapic', lazy: 'nearly all' },
  { kernel: 'linux-image-686', enlighten: 'hyperv-full', says: HYPERV, clockSource: 'hyperv_clocksource_tsc_page', eventDevice: 'Hyper-V clockevent', lazy: 'none' },
];

describe('a stock kernel finds (IRQ-142, IRQ-143, IRQ-144)', () => {
  for (const one of LONG ? [...CASES, ...LONG_CASES] : CASES) {
    const { kernel, enlighten, eoi, processors = 1, options = '', says, clockSource, eventDevice, lazy } = one;
    itWithGuest(kernel, `${enlighten}: ${kernel}, processors: ${processors}, ${eoi ?? 'lazy'} ${options}`, async (image) => {
      await using guest = await bootGuest({
        engine: wasmEngine(eoi === 'selective' ? { cpuFeatures: ['extapic'] } : {}),
        ramBytes: 256 * 2 ** 20,
        processors,
        enlighten,
        ...(eoi === undefined ? {} : { eoi }),
        kernel: image.kernelBytes,
        initrd: image.initrdBytes,
        commandLine: `console=ttyS0 quiet cryptomgr.notests ${options}`,
        clock: { kind: 'virtual', nanosPerInstruction: 10 },
      });
      await guest.waitFor(PROMPT, { timeoutMs: SHELL_MS });
      const ask = (command: string): Promise<string> => {
        guest.type(`${command}\n`);
        return guest.waitFor(PROMPT, { timeoutMs: COMMAND_MS });
      };
      const log = await ask('dmesg');
      for (const text of says) expect(log).toContain(text);
      expect(log).not.toMatch(/unchecked MSR|Call Trace/);
      expect(await ask('cat /sys/devices/system/clocksource/clocksource0/current_clocksource')).toContain(`\n${clockSource}\r`);
      expect(await ask('grep "Clock Event Device" /proc/timer_list')).toContain(`Clock Event Device: ${eventDevice}`);
      if (processors > 1) {
        expect(await ask('grep -c ^processor /proc/cpuinfo')).toContain(`\n${processors}\r`);
        // A processor that goes and comes back names its pages again.
        expect(await ask('f=/sys/devices/system/cpu/cpu1/online; for i in 0 1; do echo $i > $f; cat $f; done')).toMatch(/\n0\r\n1\r/);
        expect(await ask('dmesg | grep -c "unchecked MSR\\|Call Trace"')).toContain('\n0\r');
      }
      if (enlighten === 'hyperv-full') {
        // The driver of VMBus is offered 16 channels in one burst of 17 messages.
        expect(await ask('ls /sys/bus/vmbus/devices | wc -l')).toContain('\n16\r');
      }
      guest.type('poweroff -f\n');
      await guest.poweredOff({ timeoutMs: COMMAND_MS });
      const counts = guest.machine.counters.read();
      const count = (name: string): number => counts[`device.local-apic.${name}`]!;
      expect(count('ends.spurious')).toBe(0);
      const ends = count('ends.memory') + count('ends.model') + count('ends.synthetic') + count('ends.lazy') + count('ends.automatic');
      // The machine may be turned off in an interrupt.
      expect(count('interrupts') - ends).toBeLessThanOrEqual(processors);
      if (enlighten === 'hyperv-full') {
        const messages = ['posted', 'placed', 'deferred', 'ends'].map((name) => counts[`device.synthetic.messages.${name}`]);
        expect([messages, count('ends.automatic')]).toEqual([[18, 18, 16, 16], 18]); // the first of a burst, and one alone, cost no end
      }
      if (lazy === 'none') expect(count('ends.lazy')).toBe(0);
      else expect(count('ends.lazy') / count('interrupts')).toBeGreaterThan(0.95);
    });
  }
});
