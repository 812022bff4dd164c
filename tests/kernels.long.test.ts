import { describe } from 'vitest';
import { itBoots, type KernelName } from './kernel-matrix.ts';

// Kernels of 64 bits unpack themselves above 16 MiB and need 68 MiB (cloud) and 80 MiB for that alone.
const LEAST_MIB: Readonly<Record<KernelName, number>> = {
  'linux-image-cloud-amd64': 128, 'linux-image-amd64': 128, 'linux-image-686': 64, 'linux-image-686-pae': 64,
};
const KERNELS = Object.keys(LEAST_MIB) as KernelName[];

describe('kernels as Debian ships them', () => {
  for (const kernel of KERNELS) {
    for (const interrupts of ['APIC', 'PIC'] as const) {
      for (const memoryMiB of [LEAST_MIB[kernel], 512, 3072]) {
        // Once each with all that the kernel tests itself.
        itBoots({ kernel, file: 'bzImage', memoryMiB, interrupts, cipherTests: interrupts === 'APIC' && memoryMiB === 512 });
      }
    }
    // And once with the ciphers that it has for AVX and AVX2.
    itBoots({ kernel, file: 'bzImage', memoryMiB: 512, interrupts: 'APIC', cipherTests: true, cpuModel: 'x86-64-v3' });
  }
});

describe('more ways in', () => {
  for (const kernel of ['linux-image-cloud-amd64', 'linux-image-amd64'] as const) {
    itBoots({ kernel, file: 'bzImage', entry: 32, memoryMiB: 512, interrupts: 'APIC' });
    itBoots({ kernel, file: 'vmlinux', entry: 64, memoryMiB: 512, interrupts: 'APIC' });
    itBoots({ kernel, file: 'vmlinux', entry: 'pvh', memoryMiB: 512, interrupts: 'APIC' });
  }
  itBoots({ kernel: 'linux-image-686', file: 'vmlinux', entry: 32, memoryMiB: 512, interrupts: 'APIC' });
  itBoots({ kernel: 'linux-image-686-pae', file: 'vmlinux', entry: 32, memoryMiB: 512, interrupts: 'PIC' });
  itBoots({ kernel: 'linux-image-686-pae', file: 'vmlinux', entry: 'pvh', memoryMiB: 3584, interrupts: 'APIC' });
});

describe('several processors', () => {
  for (const kernel of KERNELS.filter((name) => name !== 'linux-image-686')) { // which is built for one
    for (const processors of [2, 4]) itBoots({ kernel, file: 'bzImage', memoryMiB: 512, interrupts: 'APIC', processors });
  }
});
