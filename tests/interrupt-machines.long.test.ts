import { describe } from 'vitest';
import { itUses } from './interrupt-machines.ts';
import type { KernelName } from './kernel-matrix.ts';

const KERNELS: readonly KernelName[] = ['linux-image-cloud-amd64', 'linux-image-amd64', 'linux-image-686-pae'];

describe('a stock kernel uses what the machine has', () => {
  for (const kernel of KERNELS) {
    itUses({ kernel, apic: 'none', processors: 1, uses: 'XT-PIC', clockSource: 'tsc', eventDevice: 'pit' });
    itUses({ kernel, apic: 'x2apic', processors: 1, options: 'noapic nolapic', uses: 'XT-PIC', clockSource: 'tsc', eventDevice: 'pit' });
    itUses({ kernel, apic: 'xapic', processors: 1, options: 'noapic', uses: 'XT-PIC', clockSource: 'tsc', eventDevice: 'lapic-deadline' });
    for (const apic of ['xapic', 'x2apic'] as const) {
      for (const processors of [1, 2, 4]) itUses({ kernel, apic, processors, uses: 'IO-APIC', clockSource: 'tsc', eventDevice: 'lapic-deadline', ...(apic === 'xapic' ? { saysNot: ['x2apic enabled'] } : {}) });
      itUses({ kernel, apic, processors: 4, options: 'maxcpus=1', online: 1, uses: 'IO-APIC', clockSource: 'tsc', eventDevice: 'lapic-deadline' });
      itUses({ kernel, apic, processors: 2, enlighten: 'kvm', uses: 'IO-APIC', clockSource: 'tsc', eventDevice: 'lapic-deadline' });
      // In x2APIC mode Linux of 64 bits puts Hyper-V's way to route interrupts before the I/O APIC.
      const uses = apic === 'x2apic' && !kernel.includes('686') ? 'IR-IO-APIC' : 'IO-APIC';
      itUses({ kernel, apic, processors: 2, enlighten: 'hyperv', uses, clockSource: 'tsc', eventDevice: 'Hyper-V clockevent' });
      // A retpoline in the 32-bit kernel's way to flush translations by hypercall reads the address of the page from a place on the stack
      // that its own calls have moved ("push 0xc(%esp)" in place of 0x10): with that mitigation the kernel jumps to nowhere.
      const options = kernel.includes('686') ? { options: 'spectre_v2=off' } : {};
      itUses({ kernel, apic, processors: 2, ...options, enlighten: 'hyperv-full', uses, clockSource: 'hyperv_clocksource_tsc_page', eventDevice: 'Hyper-V clockevent' });
    }
    itUses({ kernel, apic: 'x2apic', processors: 2, options: 'nosmp', online: 1, uses: 'XT-PIC', clockSource: 'tsc', eventDevice: 'lapic-deadline' });
  }
  itUses({ kernel: 'linux-image-686', apic: 'none', processors: 1, uses: 'XT-PIC', clockSource: 'tsc', eventDevice: 'pit' });
  itUses({ kernel: 'linux-image-686', apic: 'xapic', processors: 1, uses: 'IO-APIC', clockSource: 'tsc', eventDevice: 'lapic-deadline' });
});
