/** Two engines over the same RAM, one of which runs the processors: they keep them alike, so that a running machine moves between them. */
import type { Engine, Plain, Vcpu } from '@vm/core';
import type { ProcessorEvent, Surroundings } from '@vm/core/engine';
import type { KvmVcpu } from '@vm/vcpu-kvm';
import type { WasmVcpu } from '@vm/vcpu-wasm';
import type { EntryState } from '@vm/x86';
import { UsageError } from './usage-error.ts';

export type EngineName = 'wasm' | 'kvm';

/** A processor that one of the engines has at present. */
export class SwitchedVcpu implements Vcpu {
  present: WasmVcpu | KvmVcpu;
  readonly group: SwitchedGroup;
  readonly software: WasmVcpu;
  readonly surroundings: Surroundings;
  readonly #index: number;
  #kvm: KvmVcpu | null = null;

  constructor(group: SwitchedGroup, index: number, software: WasmVcpu, surroundings: Surroundings) {
    this.group = group;
    this.software = software;
    this.surroundings = surroundings;
    this.#index = index;
    this.present = software;
  }

  get retired(): number { return this.present.retired; }
  get numericError(): WasmVcpu['numericError'] { return this.software.numericError; }
  get missing(): ReadonlyMap<string, number> { return this.present.missing; }
  get shutDownOnPurpose(): boolean { return this.present.shutDownOnPurpose; }
  /** HOT. */
  run(instructions: number): ReturnType<Vcpu['run']> { return this.present.run(instructions); }
  signal(): void { this.present.signal(); }
  notify(event: ProcessorEvent, page: number): void { this.present.notify(event, page); }
  stopAfter(instructions: number): void { this.present.stopAfter(instructions); }
  park(): void { if ('park' in this.present) this.present.park(); }
  reset(): void { this.present.reset(); }
  loadBootState(entry: EntryState): void { this.present.loadBootState(entry); }
  save(): Plain { return this.present.save(); }
  load(state: Plain, fresh: boolean): void { this.present.load(state, fresh); }
  *counts(): Iterable<readonly [name: string, count: number]> { yield* this.present.counts(); }

  /** The processor of that engine, made when it is first asked for. */
  of(name: EngineName): WasmVcpu | KvmVcpu {
    return name === 'wasm' ? this.software : (this.#kvm ??= this.group.hardware.createVcpu(this.#index, this.surroundings));
  }
}

/** The processors of one machine. */
export class SwitchedGroup {
  readonly hardware: Engine<KvmVcpu>;
  readonly vcpus: SwitchedVcpu[] = [];
  #name: EngineName;
  #logs = false; // stores, for somebody who packs RAM

  constructor(hardware: Engine<KvmVcpu>, first: EngineName) {
    this.hardware = hardware;
    this.#name = first;
  }

  get name(): EngineName { return this.#name; }

  /** Only while the machine stands still. Throws what keeps the other engine from it, and then nothing has changed. */
  move(to: EngineName): void {
    if (to === this.#name) return;
    if (this.#logs) throw new UsageError('the machine is being saved, and moves when that is done');
    const next = this.vcpus.map((vcpu) => vcpu.of(to));
    // Stores of a guest under KVM are told to nobody: what was decoded of its code is old.
    const [first] = this.vcpus;
    if (to === 'wasm' && first !== undefined) first.surroundings.ram.written(first.surroundings.ram.base, first.surroundings.ram.bytes);
    this.vcpus.forEach((vcpu, i) => next[i]!.load(vcpu.save(), false));
    this.vcpus.forEach((vcpu, i) => (vcpu.present = next[i]!));
    this.#name = to;
  }

  /** Only KVM does. */
  logStores(): boolean { return (this.#logs = this.#name === 'kvm' && this.hardware.logStores?.() === true); }
  endLog(): void {
    this.#logs = false;
    this.hardware.endLog?.();
  }
}

export function switchedEngine(software: Engine<WasmVcpu>, hardware: Engine<KvmVcpu>, first: EngineName): Engine<SwitchedVcpu> {
  const group = new SwitchedGroup(hardware, first);
  const { processorState } = software;
  return {
    abi: 0, id: 'vm.switched', features: [], ...(processorState === undefined ? {} : { processorState }),
    reserveBytes: (processors) => Math.max(software.reserveBytes(processors), hardware.reserveBytes(processors)),
    createVcpu: (index, surroundings) => {
      const vcpu = new SwitchedVcpu(group, index, software.createVcpu(index, surroundings), surroundings);
      vcpu.present = vcpu.of(first);
      group.vcpus.push(vcpu);
      return vcpu;
    },
    logStores: () => group.logStores(), endLog: () => group.endLog(), dirtyPages: (visit) => hardware.dirtyPages?.(visit),
    *counts() { if (group.name === 'wasm') yield* software.counts?.() ?? []; },
    tearDown: () => {
      software.tearDown();
      hardware.tearDown();
    },
  };
}
