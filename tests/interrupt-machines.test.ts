import { describe } from 'vitest';
import { itUses } from './interrupt-machines.ts';

// interrupt-machines.long.test.ts has all of it; kernels.test.ts and enlightened.test.ts have x2APIC mode with several processors and the hypervisors' faces.
describe('a stock kernel uses what the machine has', () => {
  itUses({ kernel: 'linux-image-cloud-amd64', apic: 'none', processors: 1, uses: 'XT-PIC', clockSource: 'tsc', eventDevice: 'pit', says: ['No local APIC present'] });
  itUses({ kernel: 'linux-image-cloud-amd64', apic: 'x2apic', processors: 1, options: 'noapic', uses: 'XT-PIC', clockSource: 'tsc', eventDevice: 'lapic-deadline', says: ["Skipping IOAPIC probe due to 'noapic' option"] });
  itUses({ kernel: 'linux-image-686-pae', apic: 'xapic', processors: 2, options: 'acpi=off', uses: 'IO-APIC', clockSource: 'tsc', eventDevice: 'lapic-deadline', says: ['found SMP MP-table', 'Intel MultiProcessor Specification v1.4'] });
});
