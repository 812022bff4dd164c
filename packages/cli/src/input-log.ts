import { createHash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import type { GuestInput, StampedInput, TypingMode } from '@vm/pc';
import type { BoardSettings } from './boot-board.ts';
import { explainWriteError } from './host-file.ts';
import { UsageError } from './usage-error.ts';

/** What decides a run, beside its inputs. */
export interface RunBasis {
  readonly kernel: string; // SHA-256
  readonly initrd: string | null;
  readonly modules: string; // SHA-256 of each
  readonly append: string;
  readonly memoryBytes: number;
  readonly cpus?: number; // absent: 1
  readonly apic?: string; // absent: x2apic
  readonly enlighten?: string; // absent: none
  readonly eoi?: string; // absent: lazy
  readonly entry: string;
  readonly cpuModel: string | null;
  readonly seed: number;
  readonly console?: string; // absent: serial
  // What a replay takes over from the record.
  readonly typing: TypingMode;
  readonly terminal: string; // words on the kernel's command line
}
/** A recorded run. */
export interface InputLog {
  readonly basis: RunBasis;
  readonly inputs: readonly StampedInput[];
  /** Where the run ended; null when the end was not recorded. */
  readonly end: { readonly nanos: number; readonly instructions: number } | null;
}

const FIRST_LINE = 'vm-inputs 1';

export function basisOf(settings: BoardSettings, typing: TypingMode, terminal: string): RunBasis {
  const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  return {
    kernel: digest(settings.kernel ?? settings.rom ?? new Uint8Array(0)),
    initrd: settings.initrd === undefined ? null : digest(settings.initrd),
    modules: (settings.modules ?? []).map(({ bytes, text = '' }) => `${digest(bytes)} ${text}`).join(','),
    append: settings.append ?? '',
    memoryBytes: settings.memoryBytes,
    ...((settings.cpus ?? 1) === 1 ? {} : { cpus: settings.cpus! }),
    ...(settings.apic === undefined ? {} : { apic: settings.apic }),
    ...(settings.enlighten === undefined ? {} : { enlighten: settings.enlighten }),
    ...(settings.eoi === undefined ? {} : { eoi: settings.eoi }),
    entry: String(settings.entry ?? 'auto'),
    cpuModel: settings.cpuModel ?? null,
    seed: settings.seed ?? 0,
    ...(settings.console === 'virtio' ? { console: settings.console } : {}),
    typing,
    terminal,
  };
}

/** The first thing in which a run differs from a recorded one, or null. */
export function findDifference(basis: RunBasis, recorded: RunBasis): string | null {
  const names = { kernel: 'kernel', initrd: 'initrd', modules: 'module', append: 'kernel command line', memoryBytes: 'memory size', cpus: 'number of processors', apic: 'interrupt controller', enlighten: 'hypervisor', eoi: 'offer for ends of interrupts', entry: 'entry', cpuModel: 'processor', seed: 'seed', console: 'console' };
  for (const [key, name] of Object.entries(names) as [keyof RunBasis, string][]) if ((basis[key] ?? '') !== (recorded[key] ?? '')) return name;
  return null;
}

/**
 * Writes a run as lines of text, each as it happens:
 *
 *     vm-inputs 1
 *     basis {"kernel":"9f...","initrd":null,"append":"quiet","memoryBytes":536870912,"entry":"auto",...}
 *     2345678900 234567890 type "uname -a\n"
 *     9345678900 934567890 power-button
 *     9445678900 944567890 end
 *
 * that is machine time in nanoseconds, retired instructions, and what came. A character of a text is a byte.
 */
export class InputRecorder {
  readonly #file: number;

  /** Throws UsageError when the file cannot be written. */
  constructor(path: string, basis: RunBasis) {
    try {
      this.#file = openSync(path, 'w');
    } catch (error) {
      throw new UsageError(`--record ${path}: ${explainWriteError(error)}`, { cause: error });
    }
    this.#line(FIRST_LINE);
    this.#line(`basis ${JSON.stringify(basis)}`);
  }

  add({ nanos, instructions, input }: StampedInput): void {
    this.#line(`${nanos} ${instructions} ${input.kind}${input.kind === 'type' ? ` ${JSON.stringify(Buffer.from(input.bytes).toString('latin1'))}` : ''}`);
  }

  end(nanos: number, instructions: number): void {
    this.#line(`${nanos} ${instructions} end`);
    closeSync(this.#file);
  }

  #line(text: string): void {
    writeSync(this.#file, `${text}\n`);
  }
}

/** Throws UsageError that names the line. */
export function parseInputLog(text: string, path: string): InputLog {
  const lines = text.split('\n');
  const fail = (at: number, why: string): UsageError => new UsageError(`--replay ${path}: line ${at + 1}: ${why}`);
  if (lines[0] !== FIRST_LINE) throw fail(0, `expected ${JSON.stringify(FIRST_LINE)}: this is no record of inputs`);
  const basis = parseBasis(lines[1] ?? '');
  if (basis === null) throw fail(1, 'expected the basis of the run');
  const inputs: StampedInput[] = [];
  let end: InputLog['end'] = null;
  let last = 0;
  for (let at = 2; at < lines.length; at++) {
    const line = lines[at]!;
    if (line === '') continue;
    const match = /^(\d+) (\d+) (\S+)(?: (.*))?$/.exec(line);
    if (match === null) throw fail(at, 'expected a time, a count of instructions and an input');
    const [nanos, instructions] = [Number(match[1]), Number(match[2])];
    if (nanos < last || end !== null) throw fail(at, 'it is out of order');
    last = nanos;
    if (match[3] === 'end') {
      end = { nanos, instructions };
      continue;
    }
    const input = parseInput(match[3]!, match[4]);
    if (input === null) throw fail(at, `unknown input ${JSON.stringify(line.split(' ').slice(2).join(' '))}`);
    inputs.push({ nanos, instructions, input });
  }
  return { basis, inputs, end };
}

function parseInput(kind: string, text: string | undefined): GuestInput | null {
  if (kind === 'power-button' || kind === 'reset-button') return text === undefined ? { kind } : null;
  if (kind !== 'type' || text === undefined) return null;
  try {
    const typed: unknown = JSON.parse(text);
    return typeof typed === 'string' ? { kind, bytes: Uint8Array.from(Buffer.from(typed, 'latin1')) } : null;
  } catch {
    return null;
  }
}

function parseBasis(line: string): RunBasis | null {
  try {
    const basis: unknown = JSON.parse(line.replace(/^basis /, ''));
    return typeof basis === 'object' && basis !== null && 'kernel' in basis ? (basis as RunBasis) : null;
  } catch {
    return null;
  }
}
