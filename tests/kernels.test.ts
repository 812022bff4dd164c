import { itBoots } from './kernel-matrix.ts';

// The quick part of the matrix: each kernel, each way in, each interrupt controller, each size of memory and AVX at least once.
// kernels.long.test.ts has all of it.
itBoots({ kernel: 'linux-image-cloud-amd64', file: 'bzImage', entry: 32, memoryMiB: 128, interrupts: 'PIC' });
itBoots({ kernel: 'linux-image-cloud-amd64', file: 'bzImage', entry: 64, memoryMiB: 3072, interrupts: 'APIC', cpuModel: 'x86-64-v3' });
itBoots({ kernel: 'linux-image-amd64', file: 'vmlinux', entry: 64, memoryMiB: 128, interrupts: 'APIC' });
itBoots({ kernel: 'linux-image-amd64', file: 'vmlinux', entry: 'pvh', memoryMiB: 3584, interrupts: 'PIC' });
itBoots({ kernel: 'linux-image-686', file: 'vmlinux', entry: 32, memoryMiB: 64, interrupts: 'PIC', cpuModel: 'x86-64-v3' });
itBoots({ kernel: 'linux-image-686-pae', file: 'vmlinux', entry: 'pvh', memoryMiB: 512, interrupts: 'APIC' });
itBoots({ kernel: 'linux-image-cloud-amd64', file: 'bzImage', memoryMiB: 256, interrupts: 'APIC', processors: 2 });
itBoots({ kernel: 'linux-image-686-pae', file: 'bzImage', memoryMiB: 256, interrupts: 'APIC', processors: 4 });
