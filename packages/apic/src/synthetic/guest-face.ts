import type { Plain } from '@vm/core';
import type { HypervisorPort } from '@vm/core/engine';
import type { EndCounts, EndRegister, EoiAssist } from '../interrupt-ends.ts';

/** What a hypervisor's face uses of the local APIC of its processor. `LocalApic` fits. */
export interface FaceApic {
  readonly ends: EndCounts;
  readonly command: readonly [low: number, high: number];
  taskPriority: number;
  settle(): void;
  endInterrupt(register: EndRegister): void;
  sendCommand(low: number, high: number): void;
  accept(mode: number, vector: number, level: boolean): boolean;
}

/** The side of a hypervisor that one processor's guest code sees: CPUID leaves, calls, registers, and what was agreed on ends of interrupts. */
export interface GuestFace extends HypervisorPort, EoiAssist {
  readonly low: number;
  readonly high: number;
  /** A model-specific register; false: there is none, or the value is not for it. */
  read(index: number): boolean;
  write(index: number, low: number, high: number): boolean;
  /** After INIT or a reset of its processor. */
  initialized(): void;
  save(): Plain;
  load(state: Plain): void;
  counts(): Iterable<readonly [name: string, count: number]>;
}
