import type { Plain } from '@vm/core';
import type { LocalApicState } from './local-apic-ports.ts';
import { LVT_COUNT } from './spec.ts';

const REGISTERS = 10 + LVT_COUNT;
const TIMER_FIELDS = ['mode', 'divide', 'initial', 'due', 'deadlineLow', 'deadlineHigh'] as const;

/** A saved local APIC, looked through. Throws TypeError. */
export function readLocalApic(state: Plain): LocalApicState {
  const fields = membersOf(state);
  const timer = membersOf(fields['timer'] ?? null);
  const numbers = (name: string, count: number): readonly number[] => {
    const list = fields[name];
    if (!Array.isArray(list) || list.length !== count || list.some((one) => !isWord(one as Plain))) throw new TypeError(`apic: ${name} expected ${count} numbers`);
    return list as readonly number[];
  };
  const { baseLow, baseHigh, lint, offered = false, extended = [] } = fields;
  if (!isWord(baseLow) || !isWord(baseHigh)) throw new TypeError('apic: base expected two numbers');
  if (!Array.isArray(lint) || lint.length !== 2 || lint.some((one) => typeof one !== 'boolean')) throw new TypeError('apic: lint expected two levels');
  if (typeof offered !== 'boolean') throw new TypeError('apic: offered expected true or false');
  if (!Array.isArray(extended) || (extended.length !== 0 && extended.length !== 9) || extended.some((one) => !isWord(one as Plain))) throw new TypeError('apic: extended expected no numbers or 9');
  for (const name of TIMER_FIELDS) if (typeof timer[name] !== 'number' || !Number.isFinite(timer[name])) throw new TypeError(`apic: timer ${name} expected a number`);
  return {
    baseLow, baseHigh, lint: lint as readonly boolean[], registers: numbers('registers', REGISTERS), requested: numbers('requested', 8),
    inService: numbers('inService', 8), levelTriggered: numbers('levelTriggered', 8), timer: timer as unknown as LocalApicState['timer'],
    offered, extended: extended as readonly number[],
  };
}

function membersOf(value: Plain): Readonly<Record<string, Plain>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) throw new TypeError('apic: expected members');
  return value as Readonly<Record<string, Plain>>;
}

function isWord(value: Plain | undefined): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}
