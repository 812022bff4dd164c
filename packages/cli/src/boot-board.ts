import { randomFillSync, randomInt } from 'node:crypto';
import type { BlockBackend, DeviceSpec, Engine } from '@vm/core';
import type { RestoreOptions } from '@vm/core/snapshot';
import type { ConsoleKind, Enlightenment, EoiPolicy, GuestOptions, KernelEntry, MultibootModule, PcDisk } from '@vm/pc';
import type { CompoundPolicyName, Handoff } from '@vm/trap-compound';
import { type InterruptChipKind, kvmEngine, type KvmEngineOptions, type KvmVcpu } from '@vm/vcpu-kvm';
import { type CpuModelName, lentEngine, type ShadowMode, type TranslatorMode, wasmEngine, type WasmEngineOptions, type WasmVcpu } from '@vm/vcpu-wasm';
import type { CpuFeature } from '@vm/x86';
import type { MachineVcpu } from './machine-vcpu.ts';
import { type EngineName, switchedEngine } from './switched-engine.ts';

/** The machine of a session, as its options say it. */
export interface BoardSettings {
  readonly kernel?: Uint8Array;
  readonly entry?: KernelEntry;
  readonly initrd?: Uint8Array;
  readonly modules?: readonly MultibootModule[];
  readonly rom?: Uint8Array; // in place of a kernel
  readonly romShadow?: boolean;
  readonly append?: string;
  /** Default: the software engine. */
  readonly engine?: EngineName;
  /** Processors of KVM in threads of their own. */
  readonly kvmThreads?: boolean;
  /** Who has the local APICs under KVM while the guest runs; default: their models. */
  readonly kvmChip?: InterruptChipKind;
  /** The running machine can be moved to the other engine; not under the virtual clock. */
  readonly movable?: boolean;
  /** Features of that processor that this one lacks. */
  readonly cpuWithout?: readonly CpuFeature[];
  /** The processor that the guest sees; default the engine's. */
  readonly cpuModel?: CpuModelName;
  /** What of the guest's code is translated; default the engine's. */
  readonly translator?: TranslatorMode;
  /** What keeps translations of address spaces; default the engine's. */
  readonly shadow?: ShadowMode;
  readonly compound?: CompoundPolicyName;
  readonly handoff?: Handoff;
  readonly memoryBytes: number;
  /** Whom the machine presents itself as to guests that ask for a hypervisor; default: none. */
  readonly enlighten?: Enlightenment;
  /** What guests are offered for ends of interrupts; default: lazy. */
  readonly eoi?: EoiPolicy;
  readonly apic?: ApicKind; // default: x2apic, as far as the processor has it
  readonly cpus?: number; // in turn on one thread, but for `kvmThreads`; default: 1
  /** Whoever opened them closes them. */
  readonly disks?: readonly PcDisk[];
  readonly devices?: readonly DeviceSpec[]; // beside those of the board
  readonly blocks?: Readonly<Record<string, BlockBackend>>; // of those devices, by name
  readonly pciSlots?: Readonly<Record<string, number>>; // of those on the PCI bus that have had one
  /** A source of random bytes: the host's, or under the virtual clock a generator that begins with the seed. */
  readonly rng?: boolean;
  readonly hpet?: boolean; // high precision event timers
  readonly console?: ConsoleKind; // where typed bytes go; default: serial
  /** What a device does to the machine that throws where it must not; default: stop. */
  readonly onFault?: 'stop' | 'go-on';
  readonly clock: 'host' | 'virtual';
  /** Where the processor's random numbers begin; default 0 under the virtual clock, another one each time under the host's. */
  readonly seed?: number;
  readonly onReset: 'boot' | 'end';
  /** A saved machine of the same settings to go on with. */
  readonly restore?: RestoreOptions;
}

export const KVM_CHIPS: readonly InterruptChipKind[] = ['model', 'kernel'];
/** Interrupt controllers: the pair of 8259 alone, or APICs beside it, with their registers in memory or as model-specific ones too. */
export type ApicKind = 'none' | 'xapic' | 'x2apic';
export const APIC_KINDS: readonly ApicKind[] = ['none', 'xapic', 'x2apic'];
const LACKING: Readonly<Record<ApicKind, readonly CpuFeature[]>> = { none: ['apic', 'x2apic', 'tsc-deadline'], xapic: ['x2apic'], x2apic: [] };

/** The kernel's command line where nobody gives one. */
export const APPEND: Readonly<Record<ConsoleKind, string>> = { serial: 'console=ttyS0', virtio: 'console=hvc0' };
export const MOST_CPUS = 64;
export const MOST_SEED: number = 2 ** 32 - 1;
const VIRTUAL_NANOS_PER_INSTRUCTION = 10;
const VIRTUAL_START_MS = Date.UTC(2025, 0, 1); // the same on every run

/** Features that processors have not with these interrupt controllers. */
export function lackedBy(apic: ApicKind = 'x2apic'): readonly CpuFeature[] { return LACKING[apic]; }

/** `engine`: what only the software engine takes, and who hears that all processors wait for good. */
export function boardOf(settings: BoardSettings, engine: WasmEngineOptions = {}): GuestOptions<MachineVcpu> {
  const virtual = settings.clock === 'virtual';
  return {
    engine: engineOf(settings, engine, virtual),
    ramBytes: settings.memoryBytes,
    ...(settings.enlighten === undefined ? {} : { enlighten: settings.enlighten }),
    ...(settings.eoi === undefined ? {} : { eoi: settings.eoi }),
    ...(settings.apic === 'none' ? { apic: false } : {}),
    ...(settings.cpus === undefined ? {} : { processors: settings.cpus }),
    ...(settings.kernel === undefined ? {} : { kernel: settings.kernel }),
    ...(settings.modules === undefined ? {} : { modules: settings.modules }),
    ...(settings.rom === undefined ? {} : { rom: settings.rom, romShadow: settings.romShadow === true }),
    ...(settings.entry === undefined ? {} : { entry: settings.entry }),
    ...(settings.initrd === undefined ? {} : { initrd: settings.initrd }),
    ...(settings.disks === undefined ? {} : { disks: settings.disks }),
    ...(settings.hpet === true ? { hpet: true } : {}),
    ...(settings.console === undefined ? {} : { console: settings.console }),
    ...(settings.rng === true ? { random: virtual ? { seed: settings.seed ?? 0 } : { fill: (into: Uint8Array) => void randomFillSync(into) } } : {}),
    ...(settings.devices === undefined ? {} : { devices: settings.devices }),
    ...(settings.blocks === undefined ? {} : { blocks: settings.blocks }),
    ...(settings.pciSlots === undefined ? {} : { pciSlots: settings.pciSlots }),
    ...(settings.onFault === undefined ? {} : { onFault: settings.onFault }),
    ...(settings.append === undefined ? {} : { commandLine: settings.append }),
    clock: virtual ? { kind: 'virtual', nanosPerInstruction: VIRTUAL_NANOS_PER_INSTRUCTION } : { kind: 'host' },
    startMs: virtual ? VIRTUAL_START_MS : Date.now(),
    onReset: settings.onReset,
    ...(settings.restore === undefined ? {} : { restore: settings.restore }),
    ...(virtual ? {} : { wallClock: () => Date.now() }),
  };
}

function engineOf(settings: BoardSettings, engine: WasmEngineOptions, virtual: boolean): Engine<MachineVcpu> {
  const { engine: name = 'wasm', movable = false } = settings;
  const isMovable = movable && !virtual;
  const software = softwareEngine(settings, engine, virtual);
  const hardware = (): Engine<KvmVcpu> => kvmEngine({ ...processorOf(settings), ...(settings.kvmThreads === true ? { threads: true } : {}), ...(settings.kvmChip === undefined ? {} : { interruptChip: settings.kvmChip }), ...lentOf(settings, isMovable ? software : null), ...(engine.haltedForGood === undefined ? {} : { haltedForGood: engine.haltedForGood }) });
  if (isMovable) return switchedEngine(software, hardware(), name);
  return name === 'kvm' ? hardware() : software;
}

function softwareEngine(settings: BoardSettings, engine: WasmEngineOptions, virtual: boolean): Engine<WasmVcpu> {
  return wasmEngine({
    ...engine, ...processorOf(settings),
    // The register for the end of a chosen vector is AMD's, and CPUID says so.
    ...(settings.eoi === 'selective' ? { cpuFeatures: [...(engine.cpuFeatures ?? []), 'extapic'] } : {}),
    randomSeed: settings.seed ?? (virtual ? 0 : randomInt(MOST_SEED + 1)),
    ...(settings.translator === undefined ? {} : { translator: settings.translator }), ...(settings.shadow === undefined ? {} : { shadow: settings.shadow }), ...compoundOf(settings),
  });
}

function processorOf({ cpuModel, apic, cpuWithout = [] }: BoardSettings): Pick<WasmEngineOptions, 'cpuModel' | 'cpuWithout'> {
  const lacks = [...lackedBy(apic), ...cpuWithout];
  return { ...(cpuModel === undefined ? {} : { cpuModel }), ...(lacks.length === 0 ? {} : { cpuWithout: lacks }) };
}

/** What keeps these settings from the kernel's interrupt chip. */
export function kernelChipLacks({ cpus = 1, kvmThreads = false, eoi, apic, ...blocks }: Pick<BoardSettings, 'cpus' | 'kvmThreads' | 'eoi' | 'apic' | 'compound' | 'handoff'>): string | null {
  if (cpus > 1 && !kvmThreads) return 'several processors need threads';
  if (isCompounding(blocks)) return 'accesses cannot be compounded with it';
  if (apic === 'none') return 'a processor without a local APIC has none in the kernel';
  return eoi === 'selective' ? 'it has no end of a chosen vector' : null;
}

export function isCompounding(settings: Pick<BoardSettings, 'compound' | 'handoff'>): boolean { return (compoundOf(settings).compound?.policy ?? 'off') !== 'off'; }
/** Without a word of either nothing is compounded, and nobody pays for it. */
function compoundOf({ compound, handoff }: Pick<BoardSettings, 'compound' | 'handoff'>): Pick<WasmEngineOptions, 'compound'> {
  if (compound === undefined && handoff === undefined) return {};
  return { compound: { policy: compound ?? 'adaptive', ...(handoff === undefined ? {} : { handoff }) } };
}
/** Who finishes what follows an exit of KVM; `software`: the engine that has its place in the same memory. */
function lentOf(settings: BoardSettings, software: Engine<WasmVcpu> | null): Pick<KvmEngineOptions, 'lent'> {
  const { compound } = compoundOf(settings);
  if (compound === undefined || !isCompounding(settings)) return {};
  return { lent: lentEngine({ ...processorOf(settings), compound, ...(software === null ? {} : { reservedBytes: (processors: number) => software.reserveBytes(processors) }) }) };
}
