/** Whether KVM can be had here: decided by guest code that was run, in each mode of the processor and through page tables. */
import { CR0_ET, CR0_PE, CR0_PG, CR4_PAE, CR4_PSE, createAssembler, EFER_LMA, EFER_LME, mem, r16, r32, r8, RAX, RBX } from '@vm/x86';
import type { EntryState, SegmentState } from '@vm/x86';
import { cpuModel } from '@vm/x86';
import { entryFields } from './initial-fields.ts';
import { Kick } from './kick.ts';
import { KvmDevice, type KvmVm } from './kvm-calls.ts';
import { CPUID2, RUN, USERSPACE_MEMORY_REGION } from './kvm-layout-table.ts';
import { NUMBERS } from './kvm-number-table.ts';
import type { MappedMemory } from './libc.ts';
import { writeFields } from './processor-fields.ts';

/** Modes of the processor, in the order in which a PC goes through them. */
export const PROBED_MODES = ['real', 'protected', 'paging', 'pae', 'long'] as const;
export type ProbedMode = (typeof PROBED_MODES)[number];

export interface KvmProbe {
  /** Guests of any kind run here. */
  readonly usable: boolean;
  /** One line: what is missing, or that nothing is. */
  readonly text: string;
  /** Which modes ran a guest's code; none where KVM could not be opened. */
  readonly modes: Readonly<Record<ProbedMode, boolean>>;
}

const NAMES: Readonly<Record<ProbedMode, string>> = { real: 'in real mode', protected: 'in protected mode', paging: 'with 32-bit paging', pae: 'with PAE paging', long: 'in long mode' };
const CODE = 0x8000, TARGET = 0x3000, SEEN = 0x40_0000; // the guest stores at SEEN, and it has to arrive at TARGET
const MARK = 0x5aa5;
const PORT = 0xe9;
const RAM_BYTES = 0x4_0000;
const PATIENCE = 2e9; // nanoseconds, for a few instructions
const PRESENT = 3, LARGE = 0x83;
const TSS_ADDRESS = 0xfffb_d000;

/** Never throws. Takes a few milliseconds. `path`: of the device node. */
export function probeKvm(path?: string): KvmProbe {
  const modes = Object.fromEntries(PROBED_MODES.map((mode) => [mode, false])) as Record<ProbedMode, boolean>;
  try {
    const device = KvmDevice.open(path);
    try {
      for (const mode of PROBED_MODES) modes[mode] = runs(device, mode);
    } finally {
      device.close();
    }
  } catch (error) {
    return { usable: false, text: (error as Error).message, modes };
  }
  const failed = PROBED_MODES.filter((mode) => !modes[mode]);
  if (failed.length === 0) return { usable: true, text: 'KVM: guest code has run in all modes of the processor', modes };
  return { usable: false, text: `KVM: the one of this host does not run guests ${failed.map((mode) => NAMES[mode]).join(' and ')}, as happens in machines that are virtual themselves`, modes };
}

function runs(device: KvmDevice, mode: ProbedMode): boolean {
  const memory = device.libc.map(-1, RAM_BYTES);
  try {
    return runsIn(device, mode, memory);
  } finally {
    device.libc.unmap(memory);
  }
}

function runsIn(device: KvmDevice, mode: ProbedMode, memory: MappedMemory): boolean {
  const cr3 = writeTables(new DataView(memory.buffer), mode);
  new Uint8Array(memory.buffer).set(program(mode), CODE);
  const vm = device.createVm();
  try {
    vm.call('KVM_SET_TSS_ADDR', TSS_ADDRESS);
    setMemory(vm, memory);
    const fd = vm.createVcpu(0);
    const kick = new Kick(vm.libc);
    try {
      kick.attach(fd);
      fd.call('KVM_SET_CPUID2', hostCpuid(device));
      writeFields(fd, entryFields(entryOf(mode, cr3), cpuModel('x86-64-v1')), { apicBase: 0xfee0_0900n, priority: 0, hasXcr: false });
      const page = new DataView(fd.page);
      const reason = (): number => page.getUint32(RUN.fields.exit_reason[0], true);
      kick.after(PATIENCE);
      if (fd.run() !== 0 || reason() !== NUMBERS.KVM_EXIT_IO || page.getUint16(RUN.fields['io.port'][0], true) !== PORT) return false;
      if (page.getUint8(page.getUint32(RUN.fields['io.data_offset'][0], true)) !== (MARK & 0xff)) return false;
      if (fd.run() !== 0 || reason() !== NUMBERS.KVM_EXIT_HLT) return false;
      return new DataView(memory.buffer).getUint16(TARGET, true) === MARK;
    } finally {
      kick.close();
      fd.close();
    }
  } finally {
    vm.close();
  }
}

function setMemory(vm: KvmVm, { address, bytes }: MappedMemory): void {
  const view = new DataView(new ArrayBuffer(USERSPACE_MEMORY_REGION.bytes));
  view.setBigUint64(USERSPACE_MEMORY_REGION.fields.memory_size[0], BigInt(bytes), true);
  view.setBigUint64(USERSPACE_MEMORY_REGION.fields.userspace_addr[0], address, true);
  vm.call('KVM_SET_USER_MEMORY_REGION', new Uint8Array(view.buffer));
}

function hostCpuid(device: KvmDevice): Uint8Array {
  const entries = device.supportedCpuid();
  const bytes = new Uint8Array(CPUID2.bytes + entries.length);
  new DataView(bytes.buffer).setUint32(0, entries.length / 40, true);
  bytes.set(entries, CPUID2.bytes);
  return bytes;
}

/** Stores the mark, loads it again, shows it at a port, and stops. */
function program(mode: ProbedMode): Uint8Array {
  const bits = mode === 'real' ? 16 : mode === 'long' ? 64 : 32;
  const address = mode === 'real' || mode === 'protected' ? TARGET : SEEN;
  const code = createAssembler(bits, { origin: CODE });
  if (bits === 16) code.mov(r16(RBX), address).mov(mem(2, { base: RBX }), MARK).mov(r16(RAX), mem(2, { base: RBX }));
  else code.mov(r32(RBX), address).mov(mem(2, { base: RBX }), MARK).mov(r16(RAX), mem(2, { base: RBX }));
  return code.out(PORT, r8(RAX)).hlt().bytes();
}

/** Maps the code to itself and SEEN to TARGET. What CR3 has to hold. */
function writeTables(view: DataView, mode: ProbedMode): number {
  const entry = (at: number, index: number, value: number): void => view.setUint32(at + index * (mode === 'paging' ? 4 : 8), value, true);
  switch (mode) {
    case 'real': case 'protected': return 0;
    case 'paging':
      entry(0x1000, 0, LARGE);
      entry(0x1000, SEEN >>> 22, 0x2000 | PRESENT);
      entry(0x2000, 0, TARGET | PRESENT);
      return 0x1000;
    default: {
      const directories = mode === 'pae' ? 0x1000 : 0x2000;
      if (mode === 'long') entry(0x1000, 0, directories | PRESENT);
      entry(directories, 0, 0x4000 | (mode === 'pae' ? 1 : PRESENT)); // the entries of PAE's first level have no rights
      entry(0x4000, 0, LARGE);
      entry(0x4000, SEEN >>> 21, 0x5000 | PRESENT);
      entry(0x5000, 0, TARGET | PRESENT);
      return 0x1000;
    }
  }
}

function entryOf(mode: ProbedMode, cr3: number): EntryState {
  const [isReal, isLong, pages] = [mode === 'real', mode === 'long', mode !== 'real' && mode !== 'protected'];
  const segment = (selector: number, attributes: number): SegmentState => ({ selector, base: 0, limit: isReal ? 0xffff : 0xffff_ffff, attributes });
  return {
    rip: CODE, rflags: 2, rax: 0, rbx: 0, rsi: 0, rsp: 0x7000,
    cs: isReal ? segment(0, 0x9b00) : segment(8, isLong ? 0xa0_9b00 : 0xc0_9b00), data: isReal ? segment(0, 0x9300) : segment(16, 0xc0_9300), tr: { selector: 0, base: 0, limit: 0xffff, attributes: 0x8b00 }, ldtr: { selector: 0, base: 0, limit: 0, attributes: 0 },
    gdt: { base: 0, limit: 0 }, idt: { base: 0, limit: isReal ? 0x3ff : 0 },
    cr0: (CR0_ET | (isReal ? 0 : CR0_PE) | (pages ? CR0_PG : 0)) >>> 0, cr3, cr4: mode === 'paging' ? CR4_PSE : mode === 'pae' || isLong ? CR4_PAE : 0, efer: isLong ? EFER_LME | EFER_LMA : 0,
  };
}
