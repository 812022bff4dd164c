/** Numbers of KVM's calls, capabilities and exits on x86-64 (<linux/kvm.h>, <asm/kvm.h>): a test compares them with the system's headers. */
import * as layout from './kvm-layout-table.ts';
import type { Layout } from './kvm-layout-table.ts';

const KVMIO = 0xae;
const NONE: Layout = { bytes: 0, fields: {} };
/** <asm-generic/ioctl.h>: direction, size, type and number. */
const call = (direction: number, number: number, { bytes }: Layout): number => ((direction << 30) | (bytes << 16) | (KVMIO << 8) | number) >>> 0;
const io = (number: number): number => call(0, number, NONE);
const iow = (number: number, of: Layout): number => call(1, number, of);
const ior = (number: number, of: Layout): number => call(2, number, of);
const iowr = (number: number, of: Layout): number => call(3, number, of);

export type CallName = 'KVM_GET_API_VERSION' | 'KVM_CREATE_VM' | 'KVM_CHECK_EXTENSION' | 'KVM_GET_VCPU_MMAP_SIZE' | 'KVM_GET_SUPPORTED_CPUID' | 'KVM_CREATE_VCPU' | 'KVM_GET_DIRTY_LOG' |
  'KVM_SET_USER_MEMORY_REGION' | 'KVM_SET_TSS_ADDR' | 'KVM_CREATE_IRQCHIP' | 'KVM_IRQ_LINE' | 'KVM_GET_IRQCHIP' | 'KVM_SET_IRQCHIP' | 'KVM_REGISTER_COALESCED_MMIO' |
  'KVM_UNREGISTER_COALESCED_MMIO' | 'KVM_IRQFD' | 'KVM_CREATE_PIT2' | 'KVM_IOEVENTFD' | 'KVM_SET_CLOCK' | 'KVM_GET_CLOCK' | 'KVM_RUN' | 'KVM_GET_REGS' | 'KVM_SET_REGS' | 'KVM_GET_SREGS' |
  'KVM_SET_SREGS' | 'KVM_INTERRUPT' | 'KVM_GET_MSRS' | 'KVM_SET_MSRS' | 'KVM_SET_SIGNAL_MASK' | 'KVM_GET_FPU' | 'KVM_SET_FPU' | 'KVM_GET_LAPIC' | 'KVM_SET_LAPIC' | 'KVM_SET_CPUID2' |
  'KVM_NMI' | 'KVM_SET_GUEST_DEBUG' | 'KVM_GET_VCPU_EVENTS' | 'KVM_SET_VCPU_EVENTS' | 'KVM_GET_PIT2' | 'KVM_SET_PIT2' | 'KVM_GET_DEBUGREGS' | 'KVM_SET_DEBUGREGS' | 'KVM_SET_TSC_KHZ' |
  'KVM_GET_TSC_KHZ' | 'KVM_ENABLE_CAP' | 'KVM_GET_XSAVE' | 'KVM_SET_XSAVE' | 'KVM_GET_XCRS' | 'KVM_SET_XCRS' | 'KVM_X86_SET_MSR_FILTER' | 'KVM_SIGNAL_MSI' | 'KVM_SET_IDENTITY_MAP_ADDR' |
  'KVM_GET_MP_STATE' | 'KVM_SET_MP_STATE' | 'KVM_SET_GSI_ROUTING';
export const CALLS: Readonly<Record<CallName, number>> = {
  KVM_GET_API_VERSION: io(0x00), KVM_CREATE_VM: io(0x01), KVM_CHECK_EXTENSION: io(0x03), KVM_GET_VCPU_MMAP_SIZE: io(0x04), KVM_GET_SUPPORTED_CPUID: iowr(0x05, layout.CPUID2),
  KVM_CREATE_VCPU: io(0x41), KVM_GET_DIRTY_LOG: iow(0x42, layout.DIRTY_LOG), KVM_SET_USER_MEMORY_REGION: iow(0x46, layout.USERSPACE_MEMORY_REGION), KVM_SET_TSS_ADDR: io(0x47),
  KVM_CREATE_IRQCHIP: io(0x60), KVM_IRQ_LINE: iow(0x61, layout.IRQ_LEVEL), KVM_GET_IRQCHIP: iowr(0x62, layout.IRQCHIP), KVM_SET_IRQCHIP: ior(0x63, layout.IRQCHIP),
  KVM_REGISTER_COALESCED_MMIO: iow(0x67, layout.COALESCED_MMIO_ZONE), KVM_UNREGISTER_COALESCED_MMIO: iow(0x68, layout.COALESCED_MMIO_ZONE), KVM_IRQFD: iow(0x76, layout.IRQFD),
  KVM_CREATE_PIT2: iow(0x77, layout.PIT_CONFIG), KVM_IOEVENTFD: iow(0x79, layout.IOEVENTFD), KVM_SET_CLOCK: iow(0x7b, layout.CLOCK_DATA), KVM_GET_CLOCK: ior(0x7c, layout.CLOCK_DATA),
  KVM_RUN: io(0x80), KVM_GET_REGS: ior(0x81, layout.REGS), KVM_SET_REGS: iow(0x82, layout.REGS), KVM_GET_SREGS: ior(0x83, layout.SREGS), KVM_SET_SREGS: iow(0x84, layout.SREGS), KVM_INTERRUPT: iow(0x86, layout.INTERRUPT),
  KVM_GET_MSRS: iowr(0x88, layout.MSRS), KVM_SET_MSRS: iow(0x89, layout.MSRS), KVM_SET_SIGNAL_MASK: iow(0x8b, layout.SIGNAL_MASK), KVM_GET_FPU: ior(0x8c, layout.FPU), KVM_SET_FPU: iow(0x8d, layout.FPU),
  KVM_GET_LAPIC: ior(0x8e, layout.LAPIC_STATE), KVM_SET_LAPIC: iow(0x8f, layout.LAPIC_STATE), KVM_SET_CPUID2: iow(0x90, layout.CPUID2), KVM_NMI: io(0x9a), KVM_SET_GUEST_DEBUG: iow(0x9b, layout.GUEST_DEBUG),
  KVM_GET_VCPU_EVENTS: ior(0x9f, layout.VCPU_EVENTS), KVM_SET_VCPU_EVENTS: iow(0xa0, layout.VCPU_EVENTS), KVM_GET_PIT2: ior(0x9f, layout.PIT_STATE2), KVM_SET_PIT2: iow(0xa0, layout.PIT_STATE2),
  KVM_GET_DEBUGREGS: ior(0xa1, layout.DEBUGREGS), KVM_SET_DEBUGREGS: iow(0xa2, layout.DEBUGREGS), KVM_SET_TSC_KHZ: io(0xa2), KVM_GET_TSC_KHZ: io(0xa3), KVM_ENABLE_CAP: iow(0xa3, layout.ENABLE_CAP),
  KVM_GET_XSAVE: ior(0xa4, layout.XSAVE), KVM_SET_XSAVE: iow(0xa5, layout.XSAVE), KVM_GET_XCRS: ior(0xa6, layout.XCRS), KVM_SET_XCRS: iow(0xa7, layout.XCRS), KVM_X86_SET_MSR_FILTER: iow(0xc6, layout.MSR_FILTER),
  KVM_SIGNAL_MSI: iow(0xa5, layout.MSI), KVM_SET_IDENTITY_MAP_ADDR: iow(0x48, { bytes: 8, fields: {} }), KVM_GET_MP_STATE: ior(0x98, layout.MP_STATE), KVM_SET_MP_STATE: iow(0x99, layout.MP_STATE),
  KVM_SET_GSI_ROUTING: iow(0x6a, layout.IRQ_ROUTING),
};

export const NUMBERS = {
  KVM_API_VERSION: 12,
  KVM_CAP_USER_MEMORY: 3, KVM_CAP_SET_TSS_ADDR: 4, KVM_CAP_EXT_CPUID: 7, KVM_CAP_NR_MEMSLOTS: 10, KVM_CAP_VCPU_EVENTS: 41, KVM_CAP_DEBUGREGS: 50, KVM_CAP_XSAVE: 55, KVM_CAP_XCRS: 56, KVM_CAP_TSC_CONTROL: 60,
  KVM_CAP_MAX_VCPUS: 66, KVM_CAP_SYNC_REGS: 74, KVM_CAP_READONLY_MEM: 81, KVM_CAP_IMMEDIATE_EXIT: 136, KVM_CAP_X86_USER_SPACE_MSR: 188, KVM_CAP_X86_MSR_FILTER: 189,
  KVM_CAP_MP_STATE: 14, KVM_CAP_IRQ_ROUTING: 25, KVM_CAP_SIGNAL_MSI: 77, KVM_CAP_SPLIT_IRQCHIP: 121, KVM_CAP_X2APIC_API: 129, KVM_IRQ_ROUTING_MSI: 2,
  KVM_MP_STATE_RUNNABLE: 0, KVM_MP_STATE_UNINITIALIZED: 1, KVM_MP_STATE_INIT_RECEIVED: 2, KVM_MP_STATE_HALTED: 3,
  KVM_EXIT_UNKNOWN: 0, KVM_EXIT_EXCEPTION: 1, KVM_EXIT_IO: 2, KVM_EXIT_HYPERCALL: 3, KVM_EXIT_DEBUG: 4, KVM_EXIT_HLT: 5, KVM_EXIT_MMIO: 6, KVM_EXIT_IRQ_WINDOW_OPEN: 7, KVM_EXIT_SHUTDOWN: 8, KVM_EXIT_FAIL_ENTRY: 9,
  KVM_EXIT_INTR: 10, KVM_EXIT_SET_TPR: 11, KVM_EXIT_INTERNAL_ERROR: 17, KVM_EXIT_IOAPIC_EOI: 26, KVM_EXIT_X86_RDMSR: 29, KVM_EXIT_X86_WRMSR: 30,
  KVM_EXIT_IO_OUT: 1, KVM_MEM_LOG_DIRTY_PAGES: 1, KVM_MEM_READONLY: 2, KVM_CPUID_FLAG_SIGNIFCANT_INDEX: 1,
  KVM_MSR_EXIT_REASON_INVAL: 1, KVM_MSR_EXIT_REASON_UNKNOWN: 2, KVM_MSR_EXIT_REASON_FILTER: 4, KVM_MSR_FILTER_READ: 1, KVM_MSR_FILTER_WRITE: 2, KVM_MSR_FILTER_DEFAULT_DENY: 1, KVM_MSR_FILTER_MAX_RANGES: 16,
  KVM_SYNC_X86_REGS: 1, KVM_SYNC_X86_SREGS: 2, KVM_SYNC_X86_EVENTS: 4, KVM_VCPUEVENT_VALID_NMI_PENDING: 1, KVM_VCPUEVENT_VALID_SHADOW: 4, KVM_X86_SHADOW_INT_MOV_SS: 1, KVM_X86_SHADOW_INT_STI: 2,
} as const;

/** What is behind the numbers that an exit can have, for counters and messages. */
export const EXIT_NAMES: readonly string[] = [
  'unknown', 'exception', 'io', 'hypercall', 'debug', 'hlt', 'mmio', 'irq-window', 'shutdown', 'fail-entry', 'intr', 'set-tpr', 'tpr-access', 's390-sieic', 's390-reset', 'dcr', 'nmi', 'internal-error', 'osi', 'papr', 's390-ucontrol',
  'watchdog', 's390-tsch', 'epr', 'system-event', 's390-stsi', 'ioapic-eoi', 'hyperv', 'arm-nisv', 'rdmsr', 'wrmsr',
];
