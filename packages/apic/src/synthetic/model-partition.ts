/** A partition of processors that tests stand for. */
import type { Clock } from '@vm/core';
import { ApicBus } from '../apic-bus.ts';
import { type ApicFabric, type ApicFabricOptions, createApicFabric } from '../apic-fabric.ts';
import type { LocalApic } from '../local-apic.ts';
import { GuestWords } from './guest-words.ts';
import { type SyntheticMessage, takeMessage } from './message-slot.ts';
import * as spec from './spec.ts';

/** Pages of each processor, `PER_PROCESSOR` apart, and those that all share. */
export const ASSIST = 0x1000, SIMP = 0x2000, SIEFP = 0x3000, PER_PROCESSOR = 0x4000, CALL_PAGE = 0xd000, TIME_PAGE = 0xe000, INPUT = 0xf000;
const BYTES = 0x4_0000;

export interface ModelProcessor {
  readonly apic: LocalApic;
  set(index: number, low: number, high?: number): boolean;
  get(index: number): readonly [low: number, high: number] | null;
  /** Switches the controller on with both pages. */
  enableSources(): void;
  /** The message in the slot of a source, taken as guests do. */
  take(source: number): { readonly message: SyntheticMessage; readonly more: boolean } | null;
  /** Vectors taken one after the other until none is left; those in service are ended with `end`. */
  drain(end?: boolean): number[];
  inService(): number[];
}

export interface ModelPartition<C extends Clock> {
  readonly clock: C;
  readonly fabric: ApicFabric;
  readonly words: GuestWords;
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly notified: string[];
  readonly processors: readonly ModelProcessor[];
  /** A call from 64-bit code at privilege level 0: the status, the repetitions done. */
  call(value: readonly [low: number, high: number], input: readonly [low: number, high: number], output?: readonly [low: number, high: number]): readonly [status: number, done: number];
  post(connection: number, type: number, payload: readonly number[]): number;
}

/** Processors of a guest that its hypervisor, `hyperv-full` unless said otherwise, has told who it is. */
export function modelPartition<C extends Clock>(clock: C, options: Partial<ApicFabricOptions> = {}): ModelPartition<C> {
  const { processors = 1 } = options;
  const memory = { buffer: new ArrayBuffer(BYTES) };
  const ram = { memory, offsetOf: (gpa: number) => (gpa < memory.buffer.byteLength ? gpa : -1), written: () => {} };
  const notified: string[] = [];
  const fabric = createApicFabric({
    clock, signal: () => {}, notify: (index, event) => void notified.push(`${event} ${index}`), acknowledge: () => -1, log: (_level, text) => void notified.push(text), endOfInterrupt: () => {},
  }, { bus: new ApicBus(), ram: () => ram, enlighten: 'hyperv-full', ...options, processors });
  fabric.reset();
  const words = new GuestWords(ram);
  const registers = new Uint32Array(32);
  const call: ModelPartition<C>['call'] = ([low, high], [inputLow, inputHigh], [outputLow, outputHigh] = [0xdead_beef, 0xdead_beef]) => {
    registers.set([low, high, inputLow, inputHigh], 2); // RCX and RDX
    registers.set([outputLow, outputHigh], 16); // R8
    if (!fabric.apics[0]!.hypervisor!.call(registers, 0, 64)) throw new Error('the call is an invalid instruction');
    return [registers[0]!, registers[1]!];
  };
  const made = fabric.apics.map((apic, index): ModelProcessor => {
    apic.writeRegister(0xf0, 4, 0x1ff);
    const set = (register: number, low: number, high = 0): boolean => apic.writeModelRegister(register, low, high);
    const inService = (): number[] => Array.from({ length: 256 }, (_, v) => v).filter((v) => (apic.readRegister(0x100 + (v >>> 5) * 16, 4) & (1 << (v & 31))) !== 0);
    const base = index * PER_PROCESSOR;
    return {
      apic, set, inService,
      get: (register) => (apic.readModelRegister(register) ? [apic.low, apic.high] : null),
      enableSources: () => {
        set(spec.MSR_SCONTROL, 1);
        set(spec.MSR_SIMP, (base + SIMP) | 1);
        set(spec.MSR_SIEFP, (base + SIEFP) | 1);
      },
      take: (source) => takeMessage(words, base + SIMP + source * spec.SLOT_BYTES),
      drain: (end = true) => {
        const found: number[] = [];
        for (let vector = apic.acknowledge(); vector >= 0; vector = apic.acknowledge()) {
          found.push(vector);
          if (end && inService().length > 0) apic.writeRegister(0xb0, 4, 0);
        }
        return found;
      },
    };
  });
  made[0]!.set(spec.MSR_GUEST_OS_ID, 1, 0x8100_0000);
  return {
    clock, fabric, words, memory, notified, processors: made, call,
    post: (connection, type, payload) => {
      words.write(INPUT, new Uint8Array(new Uint32Array([connection, 0, type, payload.length]).buffer));
      words.write(INPUT + 16, Uint8Array.from(payload));
      return call([spec.CALL_POST_MESSAGE, 0], [INPUT, 0])[0];
    },
  };
}
