import type { DeviceDescription, PropertyValue, ResourceNumber } from './description.ts';

/** A range of an address space, or a pin, that one device of a machine takes. */
export interface ResourceClaim {
  readonly device: string; // instance name
  readonly kind: 'ports' | 'memory' | 'line';
  readonly name: string;
  readonly base: number; // the pin, for a line
  readonly bytes: number; // 1 for a line
  readonly shared?: boolean; // others that share it too may have it at the same time
}
export interface ResourceConflict {
  readonly first: ResourceClaim;
  readonly second: ResourceClaim;
}

const SPACE_BYTES = { ports: 0x1_0000, memory: 2 ** 52, line: 256 };
const SPACE_NAMES = { ports: 'ports', memory: 'memory', line: 'pins' };

/** What a device takes with these properties. */
export function claimsOf(device: string, { resources = {} }: DeviceDescription, values: Readonly<Record<string, PropertyValue>>): readonly ResourceClaim[] {
  const number = (given: ResourceNumber): number => (typeof given === 'number' ? given : (values[given.property] as number));
  return [
    ...(['ports', 'memory'] as const).flatMap((kind) => (resources[kind] ?? []).map(({ name, base, bytes }) => ({ device, kind, name, base: number(base), bytes: number(bytes) }))),
    ...(resources.lines ?? []).map(({ pin, shared = false }) => ({ device, kind: 'line' as const, name: 'line', base: number(pin), bytes: 1, shared })),
  ];
}

/** The first claim that no machine can meet, or null. */
export function findImpossible(claims: readonly ResourceClaim[]): ResourceClaim | null {
  return claims.find(({ kind, base, bytes }) => bytes < 1 || base + bytes > SPACE_BYTES[kind]) ?? null;
}

/** All pairs of claims that exclude each other, by different devices or the same. */
export function findConflicts(claims: readonly ResourceClaim[]): readonly ResourceConflict[] {
  return claims.flatMap((second, i) => claims.slice(0, i).filter((first) => exclude(first, second)).map((first) => ({ first, second })));
}

function exclude(first: ResourceClaim, second: ResourceClaim): boolean {
  if (first.kind !== second.kind || (first.shared === true && second.shared === true)) return false;
  return first.base < second.base + second.bytes && second.base < first.base + first.bytes;
}

/** For messages: `ports 0x300 to 0x303`. */
export function formatClaim({ kind, base, bytes }: ResourceClaim): string {
  if (kind === 'line') return `pin ${base}`;
  return `${SPACE_NAMES[kind]} 0x${base.toString(16)} to 0x${(base + bytes - 1).toString(16)}`;
}

/** `crc and com1 both take ports 0x3f8 to 0x3fb`, where they overlap. */
export function formatConflict({ first, second }: ResourceConflict): string {
  const base = Math.max(first.base, second.base);
  const bytes = Math.min(first.base + first.bytes, second.base + second.bytes) - base;
  const who = first.device === second.device ? `${second.device} takes` : `${second.device} and ${first.device} both take`;
  return `${who} ${formatClaim({ ...second, base, bytes })}${first.device === second.device ? ' twice' : ''}`;
}
