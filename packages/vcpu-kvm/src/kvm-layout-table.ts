/** Layouts of the structures that KVM shares with its users on x86-64 (<linux/kvm.h>, <asm/kvm.h>): a test compares them with the system's headers. */

/** Where a member lies, and how many bytes it has; 0: as many as the caller gives it. */
export type Field = readonly [offset: number, bytes: number];
export interface Layout { readonly bytes: number; readonly fields: Readonly<Record<string, Field>> }

/** The page that KVM_RUN answers in. Members of its union have the name of the exit before them. */
export const RUN = { bytes: 2352, fields: {
  request_interrupt_window: [0, 1], immediate_exit: [1, 1], exit_reason: [8, 4], ready_for_interrupt_injection: [12, 1], if_flag: [13, 1], flags: [14, 2], cr8: [16, 8], apic_base: [24, 8],
  'hw.hardware_exit_reason': [32, 8], 'fail_entry.hardware_entry_failure_reason': [32, 8], 'fail_entry.cpu': [40, 4], 'ex.exception': [32, 4],
  'io.direction': [32, 1], 'io.size': [33, 1], 'io.port': [34, 2], 'io.count': [36, 4], 'io.data_offset': [40, 8],
  'mmio.phys_addr': [32, 8], 'mmio.data': [40, 8], 'mmio.len': [48, 4], 'mmio.is_write': [52, 1],
  'internal.suberror': [32, 4], 'internal.ndata': [36, 4], 'internal.data': [40, 128], 'eoi.vector': [32, 1],
  'msr.error': [32, 1], 'msr.reason': [40, 4], 'msr.index': [44, 4], 'msr.data': [48, 8],
  kvm_valid_regs: [288, 8], kvm_dirty_regs: [296, 8], 's.regs': [304, 520],
} } as const;
export const SYNC_REGS = { bytes: 520, fields: { regs: [0, 144], sregs: [144, 312], events: [456, 64] } } as const;
export const REGS = { bytes: 144, fields: {
  rax: [0, 8], rbx: [8, 8], rcx: [16, 8], rdx: [24, 8], rsi: [32, 8], rdi: [40, 8], rsp: [48, 8], rbp: [56, 8], r8: [64, 8], r9: [72, 8], r10: [80, 8], r11: [88, 8], r12: [96, 8], r13: [104, 8],
  r14: [112, 8], r15: [120, 8], rip: [128, 8], rflags: [136, 8],
} } as const;
export const SEGMENT = { bytes: 24, fields: { base: [0, 8], limit: [8, 4], selector: [12, 2], type: [14, 1], present: [15, 1], dpl: [16, 1], db: [17, 1], s: [18, 1], l: [19, 1], g: [20, 1], avl: [21, 1], unusable: [22, 1] } } as const;
export const DTABLE = { bytes: 16, fields: { base: [0, 8], limit: [8, 2] } } as const;
export const SREGS = { bytes: 312, fields: {
  cs: [0, 24], ds: [24, 24], es: [48, 24], fs: [72, 24], gs: [96, 24], ss: [120, 24], tr: [144, 24], ldt: [168, 24], gdt: [192, 16], idt: [208, 16], cr0: [224, 8], cr2: [232, 8], cr3: [240, 8], cr4: [248, 8],
  cr8: [256, 8], efer: [264, 8], apic_base: [272, 8], interrupt_bitmap: [280, 32],
} } as const;
export const FPU = { bytes: 416, fields: { fpr: [0, 128], fcw: [128, 2], fsw: [130, 2], ftwx: [132, 1], last_opcode: [134, 2], last_ip: [136, 8], last_dp: [144, 8], xmm: [152, 256], mxcsr: [408, 4] } } as const;
export const XSAVE = { bytes: 4096, fields: { region: [0, 4096] } } as const;
export const XCR = { bytes: 16, fields: { xcr: [0, 4], value: [8, 8] } } as const;
export const XCRS = { bytes: 392, fields: { nr_xcrs: [0, 4], flags: [4, 4], xcrs: [8, 256] } } as const;
export const LAPIC_STATE = { bytes: 1024, fields: { regs: [0, 1024] } } as const;
export const IRQCHIP = { bytes: 520, fields: { chip_id: [0, 4], chip: [8, 512] } } as const;
export const PIC_STATE = { bytes: 16, fields: { last_irr: [0, 1], irr: [1, 1], imr: [2, 1], isr: [3, 1], priority_add: [4, 1], irq_base: [5, 1], read_reg_select: [6, 1], poll: [7, 1], special_mask: [8, 1], init_state: [9, 1], auto_eoi: [10, 1], rotate_on_auto_eoi: [11, 1], special_fully_nested_mode: [12, 1], init4: [13, 1], elcr: [14, 1], elcr_mask: [15, 1] } } as const;
export const IOAPIC_STATE = { bytes: 216, fields: { base_address: [0, 8], ioregsel: [8, 4], id: [12, 4], irr: [16, 4], redirtbl: [24, 192] } } as const;
export const PIT_CHANNEL_STATE = { bytes: 24, fields: { count: [0, 4], latched_count: [4, 2], mode: [13, 1], bcd: [14, 1], gate: [15, 1], count_load_time: [16, 8] } } as const;
export const PIT_STATE2 = { bytes: 112, fields: { channels: [0, 72], flags: [72, 4] } } as const;
export const PIT_CONFIG = { bytes: 64, fields: { flags: [0, 4] } } as const;
export const VCPU_EVENTS = { bytes: 64, fields: {
  'exception.injected': [0, 1], 'exception.nr': [1, 1], 'exception.has_error_code': [2, 1], 'exception.pending': [3, 1], 'exception.error_code': [4, 4],
  'interrupt.injected': [8, 1], 'interrupt.nr': [9, 1], 'interrupt.soft': [10, 1], 'interrupt.shadow': [11, 1], 'nmi.injected': [12, 1], 'nmi.pending': [13, 1], 'nmi.masked': [14, 1],
  sipi_vector: [16, 4], flags: [20, 4], 'smi.smm': [24, 1], 'smi.pending': [25, 1], exception_has_payload: [55, 1], exception_payload: [56, 8],
} } as const;
export const DEBUGREGS = { bytes: 128, fields: { db: [0, 32], dr6: [32, 8], dr7: [40, 8], flags: [48, 8] } } as const;
export const GUEST_DEBUG = { bytes: 72, fields: { control: [0, 4], arch: [8, 64] } } as const;
export const MSR_ENTRY = { bytes: 16, fields: { index: [0, 4], data: [8, 8] } } as const;
export const MSRS = { bytes: 8, fields: { nmsrs: [0, 4], entries: [8, 0] } } as const;
export const MSR_FILTER_RANGE = { bytes: 24, fields: { flags: [0, 4], nmsrs: [4, 4], base: [8, 4], bitmap: [16, 8] } } as const;
export const MSR_FILTER = { bytes: 392, fields: { flags: [0, 4], ranges: [8, 384] } } as const;
export const CPUID_ENTRY2 = { bytes: 40, fields: { function: [0, 4], index: [4, 4], flags: [8, 4], eax: [12, 4], ebx: [16, 4], ecx: [20, 4], edx: [24, 4] } } as const;
export const CPUID2 = { bytes: 8, fields: { nent: [0, 4], entries: [8, 0] } } as const;
export const USERSPACE_MEMORY_REGION = { bytes: 32, fields: { slot: [0, 4], flags: [4, 4], guest_phys_addr: [8, 8], memory_size: [16, 8], userspace_addr: [24, 8] } } as const;
export const DIRTY_LOG = { bytes: 16, fields: { slot: [0, 4], dirty_bitmap: [8, 8] } } as const;
export const IOEVENTFD = { bytes: 64, fields: { datamatch: [0, 8], addr: [8, 8], len: [16, 4], fd: [20, 4], flags: [24, 4] } } as const;
export const IRQFD = { bytes: 32, fields: { fd: [0, 4], gsi: [4, 4], flags: [8, 4], resamplefd: [12, 4] } } as const;
export const COALESCED_MMIO_ZONE = { bytes: 16, fields: { addr: [0, 8], size: [8, 4], pio: [12, 4] } } as const;
export const COALESCED_MMIO = { bytes: 24, fields: { phys_addr: [0, 8], len: [8, 4], pio: [12, 4], data: [16, 8] } } as const;
export const COALESCED_MMIO_RING = { bytes: 8, fields: { first: [0, 4], last: [4, 4], coalesced_mmio: [8, 0] } } as const;
export const SIGNAL_MASK = { bytes: 4, fields: { len: [0, 4], sigset: [4, 0] } } as const;
export const INTERRUPT = { bytes: 4, fields: { irq: [0, 4] } } as const;
export const IRQ_LEVEL = { bytes: 8, fields: { irq: [0, 4], level: [4, 4] } } as const;
export const ENABLE_CAP = { bytes: 104, fields: { cap: [0, 4], flags: [4, 4], args: [8, 32] } } as const;
export const MP_STATE = { bytes: 4, fields: { mp_state: [0, 4] } } as const;
export const MSI = { bytes: 32, fields: { address_lo: [0, 4], address_hi: [4, 4], data: [8, 4], flags: [12, 4], devid: [16, 4] } } as const;
export const IRQ_ROUTING = { bytes: 8, fields: { nr: [0, 4], flags: [4, 4], entries: [8, 0] } } as const;
export const IRQ_ROUTING_ENTRY = { bytes: 48, fields: { gsi: [0, 4], type: [4, 4], flags: [8, 4], 'u.msi.address_lo': [16, 4], 'u.msi.address_hi': [20, 4], 'u.msi.data': [24, 4] } } as const;
export const CLOCK_DATA = { bytes: 48, fields: { clock: [0, 8], flags: [8, 4] } } as const;

/** By the names of the headers. */
export const LAYOUTS: Readonly<Record<string, Layout>> = {
  kvm_run: RUN, kvm_sync_regs: SYNC_REGS, kvm_regs: REGS, kvm_segment: SEGMENT, kvm_dtable: DTABLE, kvm_sregs: SREGS, kvm_fpu: FPU, kvm_xsave: XSAVE, kvm_xcr: XCR, kvm_xcrs: XCRS, kvm_lapic_state: LAPIC_STATE,
  kvm_irqchip: IRQCHIP, kvm_pic_state: PIC_STATE, kvm_ioapic_state: IOAPIC_STATE, kvm_pit_channel_state: PIT_CHANNEL_STATE, kvm_pit_state2: PIT_STATE2, kvm_pit_config: PIT_CONFIG, kvm_vcpu_events: VCPU_EVENTS,
  kvm_debugregs: DEBUGREGS, kvm_guest_debug: GUEST_DEBUG, kvm_msr_entry: MSR_ENTRY, kvm_msrs: MSRS, kvm_msr_filter_range: MSR_FILTER_RANGE, kvm_msr_filter: MSR_FILTER, kvm_cpuid_entry2: CPUID_ENTRY2, kvm_cpuid2: CPUID2,
  kvm_userspace_memory_region: USERSPACE_MEMORY_REGION, kvm_dirty_log: DIRTY_LOG, kvm_ioeventfd: IOEVENTFD, kvm_irqfd: IRQFD, kvm_coalesced_mmio_zone: COALESCED_MMIO_ZONE, kvm_coalesced_mmio: COALESCED_MMIO,
  kvm_coalesced_mmio_ring: COALESCED_MMIO_RING, kvm_signal_mask: SIGNAL_MASK, kvm_interrupt: INTERRUPT, kvm_irq_level: IRQ_LEVEL, kvm_enable_cap: ENABLE_CAP, kvm_clock_data: CLOCK_DATA,
  kvm_mp_state: MP_STATE, kvm_msi: MSI, kvm_irq_routing: IRQ_ROUTING, kvm_irq_routing_entry: IRQ_ROUTING_ENTRY,
};
