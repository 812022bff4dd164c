/** Which engine runs a machine, and why: the software engine, or the host's KVM where guest code has shown that it works. */
import { kvmLacks, probeKvm } from '@vm/vcpu-kvm';
import type { CpuFeature } from '@vm/x86';
import { type BoardSettings, isCompounding, kernelChipLacks, lackedBy } from './boot-board.ts';
import { UsageError } from './usage-error.ts';

export const ENGINE_CHOICES = ['wasm', 'kvm', 'auto'] as const;
export type EngineChoice = (typeof ENGINE_CHOICES)[number];

export interface ChosenEngine {
  readonly name: 'wasm' | 'kvm';
  /** Features of the processor that the host's KVM has not, and that the guest goes without. */
  readonly without: readonly CpuFeature[];
  /** For people, or null where they asked for just this. */
  readonly text: string | null;
}

type Asked = Pick<BoardSettings, 'clock' | 'cpuModel' | 'apic' | 'enlighten' | 'eoi' | 'translator' | 'shadow' | 'restore' | 'cpuWithout'> & { readonly traceHot?: number | undefined };

/** Throws UsageError where KVM was asked for and cannot be had. */
export function chooseEngine(choice: EngineChoice, settings: Asked): ChosenEngine {
  if (choice === 'wasm') return { name: 'wasm', without: [], text: null };
  const software = softwareOnly(settings);
  if (choice === 'auto' && software !== null) return { name: 'wasm', without: [], text: `the software engine, because of ${software}` };
  if (software !== null) throw new UsageError(`--engine kvm: ${software} is for the software engine only`);
  const { usable, text, modes } = probeKvm();
  const some = Object.values(modes).includes(true);
  if (choice === 'auto' && !usable) return { name: 'wasm', without: [], text: `the software engine; ${text}` };
  if (!some) throw new UsageError(`--engine kvm: ${text}`);
  const { cpuModel } = settings;
  const without = kvmLacks({ ...(cpuModel === undefined ? {} : { cpuModel }), cpuWithout: [...lackedBy(settings.apic), ...(settings.cpuWithout ?? [])] });
  // A saved machine goes on with the processor that it had, and a processor that was asked for is what it is.
  if (without.length > 0 && (settings.restore !== undefined || cpuModel !== undefined)) {
    const lack = `this host's KVM has no ${without.join(', ')}`;
    if (choice === 'auto') return { name: 'wasm', without: [], text: `the software engine; ${lack}` };
    throw new UsageError(`--engine kvm: ${lack}, which the processor of the guest has; --cpu-model names a simpler one`);
  }
  const notes = [usable ? null : text, without.length === 0 ? null : `the processor goes without ${without.join(', ')}`].filter((note) => note !== null);
  if (choice === 'kvm') return { name: 'kvm', without, text: notes.length === 0 ? null : notes.join('; ') };
  return { name: 'kvm', without, text: [text, ...notes].join('; ') };
}

/** The settings with an engine, which is said on the standard error where it was not plainly asked for. Throws UsageError. */
export function withEngine(asked: BoardSettings, choice: EngineChoice | undefined, traceHot: number | undefined): BoardSettings {
  if (asked.kvmThreads === true) {
    if (choice === undefined || choice === 'wasm') throw new UsageError('--kvm-threads is for --engine kvm or auto');
    if (isCompounding(asked)) throw new UsageError('--kvm-threads: accesses cannot be compounded with processors in threads');
  }
  if (asked.kvmChip !== undefined && (choice === undefined || choice === 'wasm')) throw new UsageError('--kvm-chip is for --engine kvm or auto');
  const lack = asked.kvmChip === 'kernel' ? kernelChipLacks(asked) : null;
  if (lack !== null) throw new UsageError(`--kvm-chip kernel: ${lack}`);
  if (choice === undefined) return asked;
  const { name, without, text } = chooseEngine(choice, { ...asked, traceHot });
  if (text !== null) process.stderr.write(`vm: engine ${name}: ${text}\n`);
  const cpuWithout = [...(asked.cpuWithout ?? []), ...without];
  return { ...asked, engine: name, ...(cpuWithout.length === 0 ? {} : { cpuWithout }) };
}

/** What of the settings no other engine has. */
function softwareOnly(settings: Asked): string | null {
  if (settings.clock === 'virtual') return '--clock virtual';
  for (const name of ['translator', 'shadow'] as const) if (settings[name] !== undefined) return `--${name}`;
  if (settings.traceHot !== undefined) return '--trace-hot';
  if (settings.enlighten !== undefined && settings.enlighten !== 'none') return `--enlighten ${settings.enlighten}`;
  return settings.eoi === 'selective' ? '--eoi selective' : null;
}
