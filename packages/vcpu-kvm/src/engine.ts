/** The engine of KVM: a machine of it, the RAM as its memory, processors with the model's CPUID. */
import type { LentEngine, LentProcessor } from '@vm/trap-compound';
import { cpuModel, modelText, MSR_APIC_BASE, MSR_TSC_DEADLINE } from '@vm/x86';
import type { CpuFeature, CpuModel, CpuModelName } from '@vm/x86';
import type { Gpa } from '@vm/core';
import type { Engine, Surroundings } from '@vm/core/engine';
import { cpuidTable, missingFeatures } from './cpuid-table.ts';
import { InterruptChip } from './interrupt-chip.ts';
import { Kick } from './kick.ts';
import { KvmDevice, type KvmVcpuFd, type KvmVm } from './kvm-calls.ts';
import { KvmError } from './kvm-error.ts';
import { RUN } from './kvm-layout-table.ts';
import { NUMBERS } from './kvm-number-table.ts';
import { MemorySlots } from './memory-slots.ts';
import { kernelRegisters } from './model-register-table.ts';
import { msrFilter } from './msr-filter.ts';
import { PROCESSOR_STATE } from './saved-processor.ts';
import { ProcessorThreads } from './processor-threads.ts';
import { KvmVcpu } from './vcpu.ts';

export interface KvmEngineOptions {
  /** The processor that guests see; default the same as under the software engine. */
  readonly cpuModel?: CpuModelName;
  /** Features beside those of the model. */
  readonly cpuFeatures?: readonly CpuFeature[];
  /** Features of the model that this processor lacks. */
  readonly cpuWithout?: readonly CpuFeature[];
  /** Told of a HLT with interrupts disabled, which nothing but a reset or an NMI ends, when no other processor could send one. */
  readonly haltedForGood?: () => void;
  /** Whose processors finish nearby instructions that would exit too at one exit; default: nobody's, every access is an exit. */
  readonly lent?: LentEngine;
  /** Each processor in a thread of its own, where they run at the same time; default: in turn in the machine's thread. Not with `lent`. */
  readonly threads?: boolean;
  /** Who has the local APICs while guests run: their models, or the kernel (KVM_CAP_SPLIT_IRQCHIP; several processors need `threads`; not with `lent`). Default: model. */
  readonly interruptChip?: InterruptChipKind;
}
export type InterruptChipKind = 'model' | 'kernel';

export interface KvmEngine extends Engine<KvmVcpu> {
  /** From now on KVM notes the pages of RAM that guests store to; what devices store it does not see. No blocks behind exits meanwhile. False: there is no machine. */
  logStores(): boolean;
  endLog(): void;
  /** Those stored to since then, or since this was last asked, neighbours together. Between runs; of processors in threads at any time. */
  dirtyPages(visit: (gpa: Gpa, bytes: number) => void): void;
}

const NEEDED = ['KVM_CAP_USER_MEMORY', 'KVM_CAP_READONLY_MEM', 'KVM_CAP_IMMEDIATE_EXIT', 'KVM_CAP_XSAVE', 'KVM_CAP_VCPU_EVENTS', 'KVM_CAP_DEBUGREGS', 'KVM_CAP_X86_USER_SPACE_MSR', 'KVM_CAP_X86_MSR_FILTER'] as const;
/** Below all RAM, where processors without hardware for real mode keep their own tables: three pages. */
const TSS_ADDRESS = 0xfffb_d000;
/**
 * In exits: a device in a worker, a block without its instructions, one that would have been an exit, another one. Where an exit takes
 * 7 us a block has been seen to take 13, an access in it 0.27 and another instruction 0.017; where exits are faster the last two, which
 * are ours, count for more.
 */
const EXIT_WEIGHTS = { handoff: 5, block: 2, trap: 0.15, between: 0.01 };
const COUNTER_HZ = 1_000_000_000; // as under the software engine, where the host can
const LEAST_NANOS = 100_000;
const ENTRIES_IN_LEAST = 50;

/** Nothing is opened before a processor is made: `createMachine` throws VmError then, with one line on what is missing. */
export function kvmEngine(options: KvmEngineOptions = {}): KvmEngine {
  const model = cpuModel(options.cpuModel, options.cpuFeatures, options.cpuWithout);
  let machine: KvmMachine | null = null;
  let processors = 1;
  return {
    abi: 0,
    id: 'vm.kvm',
    features: ['real-time'], // it cannot count instructions
    processorState: { ...PROCESSOR_STATE, model: modelText(model) },
    reserveBytes: (count) => {
      processors = count;
      return options.lent?.reserveBytes(count) ?? 0;
    },
    createVcpu: (index, surroundings) => {
      machine ??= new KvmMachine(model, processors, surroundings, options);
      return machine.createVcpu(index, surroundings);
    },
    logStores: () => {
      machine?.slots.beginLog();
      return machine !== null;
    },
    endLog: () => machine?.slots.endLog(),
    dirtyPages: (visit) => machine?.slots.takeLog(visit),
    tearDown: () => {
      machine?.close();
      machine = null;
      options.lent?.tearDown();
    },
  };
}

/** Features of a processor that guests cannot have here. Throws KvmError where there is no KVM. */
export function kvmLacks(options: KvmEngineOptions = {}): CpuFeature[] {
  const device = KvmDevice.open();
  try {
    return missingFeatures(cpuModel(options.cpuModel, options.cpuFeatures, options.cpuWithout), device.supportedCpuid());
  } finally {
    device.close();
  }
}

class KvmMachine {
  readonly #device: KvmDevice;
  readonly #model: CpuModel;
  readonly #processors: number;
  #vm: KvmVm | null = null;
  #kick: Kick | null = null;
  #slots: MemorySlots | null = null;
  #chip: InterruptChip | null = null;
  readonly #haltedForGood: () => void;
  readonly #lent: LentEngine | null;
  readonly #threads: ProcessorThreads | null;
  readonly #fds: KvmVcpuFd[] = [];
  readonly #vcpus: KvmVcpu[] = [];

  constructor(model: CpuModel, processors: number, { ram }: Surroundings, { haltedForGood, lent, threads = false, interruptChip = 'model' }: KvmEngineOptions) {
    if (threads && lent !== undefined) throw new KvmError('instructions behind an exit are finished in the machine\'s thread; choose threads or compounding');
    const isKernel = interruptChip === 'kernel';
    if (isKernel && lent !== undefined) throw new KvmError('instructions behind an exit are finished with the local APIC\'s model; choose the chip model, or no compounding');
    if (isKernel && processors > 1 && !threads) throw new KvmError('processors in turn would not hear what the kernel\'s local APICs send each other; choose threads, or the chip model');
    if (isKernel && !model.features.has('apic')) throw new KvmError('a processor without a local APIC has none in the kernel; choose the chip model');
    this.#haltedForGood = haltedForGood ?? (() => undefined);
    this.#lent = lent ?? null;
    this.#model = model;
    this.#processors = processors;
    this.#device = KvmDevice.open();
    this.#threads = threads ? new ProcessorThreads(processors, isKernel) : null;
    try {
      for (const name of NEEDED) if (this.#device.extension(NUMBERS[name]) === 0) throw new KvmError(`the host's kernel is too old: it has no ${name}`);
      const missing = missingFeatures(model, this.#device.supportedCpuid());
      if (missing.length > 0) throw new KvmError(`this host has not all of the processor ${modelText(model)}: ${missing.join(', ')}`);
      const vm = (this.#vm = this.#device.createVm());
      vm.call('KVM_SET_TSS_ADDR', TSS_ADDRESS);
      if (isKernel) this.#chip = new InterruptChip(this.#device, vm, !threads);
      this.#filterRegisters(vm);
      this.#slots = new MemorySlots(vm, ram);
      this.#kick = new Kick(this.#device.libc);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get slots(): MemorySlots { return this.#slots!; }

  createVcpu(index: number, surroundings: Surroundings): KvmVcpu {
    if (surroundings.interrupts.hypervisor !== undefined) throw new KvmError('guests that ask for a hypervisor would find KVM\'s own calls; choose no enlightenment with this engine');
    const fd = this.#vm!.createVcpu(index);
    this.#fds.push(fd);
    fd.call('KVM_SET_CPUID2', cpuidTable({ model: this.#model, index, processors: this.#processors }));
    if (this.#device.extension(NUMBERS.KVM_CAP_TSC_CONTROL) > 0) fd.call('KVM_SET_TSC_KHZ', COUNTER_HZ / 1000);
    const counterHz = fd.call('KVM_GET_TSC_KHZ', 0) * 1000;
    const halted = (): void => { if (this.#vcpus.every((one) => one.isStuck)) this.#haltedForGood(); };
    const lent = this.#lentProcessor(index, surroundings);
    const thread = this.#threads?.create(this.#device.libc, fd.fd) ?? null;
    const vcpu = new KvmVcpu({ chip: this.#chip, threads: this.#threads, thread, lent, index, fd, kick: this.#kick!, slots: this.#slots!, model: this.#model, counterHz, leastNanos: leastNanos(fd), halted }, surroundings);
    this.#vcpus.push(vcpu);
    this.#threads?.add(vcpu, surroundings.wake === undefined ? null : () => surroundings.wake!());
    return vcpu;
  }

  #lentProcessor(index: number, surroundings: Surroundings): LentProcessor | null {
    if (this.#lent === null) return null;
    const parts = NUMBERS.KVM_SYNC_X86_REGS | NUMBERS.KVM_SYNC_X86_SREGS | NUMBERS.KVM_SYNC_X86_EVENTS;
    if ((this.#device.extension(NUMBERS.KVM_CAP_SYNC_REGS) & parts) !== parts) throw new KvmError("the host's kernel is too old to finish instructions behind an exit: it has no KVM_CAP_SYNC_REGS");
    return this.#lent.createProcessor(index, surroundings, EXIT_WEIGHTS);
  }

  /** What KVM does not know of comes to us, and not as an exception into the guest. */
  #filterRegisters(vm: KvmVm): void {
    vm.enable(NUMBERS.KVM_CAP_X86_USER_SPACE_MSR, NUMBERS.KVM_MSR_EXIT_REASON_FILTER | NUMBERS.KVM_MSR_EXIT_REASON_UNKNOWN | NUMBERS.KVM_MSR_EXIT_REASON_INVAL);
    const { filter, bitmaps } = msrFilter([...kernelRegisters(this.#model), ...this.#controllerRegisters()], (bytes) => vm.libc.addressOf(bytes));
    vm.call('KVM_X86_SET_MSR_FILTER', filter);
    if (bitmaps.length === 0) throw new KvmError('a processor without registers');
  }

  /** Those of x2APIC mode are never filtered. */
  #controllerRegisters(): number[] {
    if (this.#chip === null) return [];
    return this.#model.features.has('tsc-deadline') ? [MSR_APIC_BASE, MSR_TSC_DEADLINE] : [MSR_APIC_BASE];
  }

  close(): void {
    this.#threads?.close();
    this.#kick?.close();
    for (const fd of this.#fds) fd.close();
    this.#vm?.close();
    this.#device.close();
  }
}

/** So many times what it takes to go into KVM_RUN and out again, that a run cannot end before the guest has done something. */
function leastNanos(fd: KvmVcpuFd): number {
  const page = new Uint8Array(fd.page);
  page[RUN.fields.immediate_exit[0]] = 1;
  let best = Infinity;
  for (let i = 0; i < 8; i++) {
    const begin = performance.now();
    fd.run();
    best = Math.min(best, performance.now() - begin);
  }
  page[RUN.fields.immediate_exit[0]] = 0;
  return Math.max(LEAST_NANOS, Math.ceil(best * 1e6 * ENTRIES_IN_LEAST));
}
