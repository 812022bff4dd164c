import { ApicBus, createApicFabric, type EoiPolicy, type Enlightenment, type Partition } from '@vm/apic';
import { ioApic, pic8259 } from '@vm/apic/device';
import { type BlockBackend, createMachine, device, type DeviceSpec, type Engine, type GuestMemory, type Machine, type MachineOptions, type Ram, type Vcpu, VmError } from '@vm/core';
import { type AcpiButtons, acpiPm } from '@vm/device-acpi-pm';
import { debugcon } from '@vm/device-debugcon';
import { fwCfg } from '@vm/device-fw-cfg';
import { HPET_ID, hpet, REGISTER_BYTES } from '@vm/device-hpet';
import { i8042 } from '@vm/device-i8042';
import { syntheticTest } from '@vm/device-testdev';
import { pit8254 } from '@vm/device-pit8254';
import { rtcMc146818 } from '@vm/device-rtc-mc146818';
import { type SerialInput, uart16550 } from '@vm/device-uart16550';
import { hostBridge, PciBus, pciCapability, pciHotplug, type PciHotplugEnd, type PciSlot } from '@vm/pci';
import { type ConsoleEnd, virtioConsole, virtioRng, type VirtioRngConfig } from '@vm/virtio';
import { buildAcpiTables } from './acpi-tables.ts';
import type { BootableVcpu } from './boot-state.ts';
import { cmosMemory } from './cmos-memory.ts';
import { firmwareItems } from './firmware-items.ts';
import { type HotDevice, HotDevices } from './hot-devices.ts';
import { coprocessorError } from './coprocessor-error.ts';
import { checkKernel, type KernelEntry, loadKernel } from './kernel-boot.ts';
import { MachineHold } from './machine-hold.ts';
import { FIRMWARE_BYTES, MP_POINTER, MP_TABLE } from './memory-map.ts';
import { buildMpTable } from './mp-table.ts';
import type { MultibootModule } from './multiboot-boot.ts';
import { DiskPace, diskPace, pacedDisk, type PacedDiskServices, trackedDisk } from './paced-disk.ts';
import { diskDevices, nameDisks, type NamedDisk, type PcDisk, virtioDisk } from './pc-disks.ts';
import { checkRom, loadRom } from './rom-boot.ts';

/** The host side of a serial port. */
export interface PcSerial {
  /** A byte from the guest. */
  output(byte: number): void;
  /** There is room again after `receive` refused bytes, or the guest has just opened the port. */
  ready?(): void;
}

export type ConsoleKind = 'serial' | 'virtio';

export interface PcOptions<V extends Vcpu & BootableVcpu> {
  readonly engine: Engine<V>;
  readonly ramBytes: number;
  readonly processors?: number; // in turn on one thread, but for engines with threads of their own; the first boots, and the guest starts the others. Default: 1
  /** Whom the machine presents itself as to guests that ask for a hypervisor. Default: `none`. */
  readonly enlighten?: Enlightenment;
  /** What guests are offered for ends of interrupts. Default: `lazy`. */
  readonly eoi?: EoiPolicy;
  /** Tell the guest of local APICs and the I/O APIC; false goes with processors that have none. Default: true. */
  readonly apic?: boolean;
  /** An I/O APIC with a register for ends, and local APICs that can leave it to that. Default: false. */
  readonly directedEoi?: boolean;
  readonly kernel?: Uint8Array; // a bzImage, an ELF file such as a vmlinux, or with `entry: 'multiboot'` such an image
  readonly entry?: KernelEntry; // default: auto
  readonly initrd?: Uint8Array;
  readonly modules?: readonly MultibootModule[]; // of a multiboot image
  readonly commandLine?: string;
  /** Firmware in place of a kernel: it begins at the reset vector. Pages of 4 KiB, up to 8 MiB. */
  readonly rom?: Uint8Array;
  /** The guest may store to the copy of the ROM below 1 MiB, as to the shadow RAM of a PC. Default: stores are dropped. */
  readonly romShadow?: boolean;
  readonly serial?: PcSerial; // absent: what the guest sends is dropped
  /** Where the guest gets what it is sent: its serial port, or a virtio console beside it, hvc0 in Linux. `serial` is the host's side of both. Default: serial. */
  readonly console?: ConsoleKind;
  readonly debugOutput?: (byte: number) => void; // port 0xe9; absent: no such port
  /** A configuration port as QEMU's machines have one, which firmware and test programs ask for RAM and processors. Default: none. */
  readonly firmwareConfig?: boolean;
  /** The host's time, which the real-time clock catches up with when the machine was saved for a while; default: its own time goes on. */
  readonly wallClock?: () => number; // milliseconds since 1970
  readonly startMs?: number; // what the real-time clock starts from, milliseconds since 1970; default 0
  readonly devices?: readonly DeviceSpec[]; // more devices, after those of the board
  /** In this order; under the virtual clock a request takes a time that its size decides. Whoever opened them closes them. */
  readonly disks?: readonly PcDisk[];
  /** High precision event timers. Default: false. */
  readonly hpet?: boolean;
  /** More devices for the PCI bus: each asks the bus for a slot, 19 to 30 are free, and 31 without a virtio console. After all others. */
  readonly pciDevices?: (bus: PciBus) => readonly DeviceSpec[];
  /** Slots of devices that need the capability `pci`, by name; others get the first one from 19 on that nobody has. */
  readonly pciSlots?: Readonly<Record<string, number>>;
  /** A virtio source of random bytes: of the host, or of a generator with a seed. Default: none. */
  readonly random?: VirtioRngConfig['source'];
  readonly clock?: MachineOptions['clock'];
  readonly onFault?: MachineOptions['onFault'];
  readonly trace?: MachineOptions['trace'];
  readonly blocks?: MachineOptions['blocks']; // of devices that ask for them; paced as disks are
  readonly log?: MachineOptions['log'];
  readonly signal?: AbortSignal;
  readonly host?: MachineOptions['host'];
  readonly createMemory?: MachineOptions['createMemory'];
  /** A saved machine of the same options: power-up goes on with it. Without a kernel or a ROM it cannot be reset. */
  readonly restore?: MachineOptions['restore'];
}

export interface Pc<V extends Vcpu & BootableVcpu> {
  readonly machine: Machine<V>;
  /** Connections of a machine that is enlightened as Hyper-V, to others among it; null with other enlightenments. */
  readonly partition: Partition | null;
  /** Not for composers. */
  readonly hold: MachineHold;
  /** Bytes for the guest's serial port or virtio console: how many it took. */
  receive(bytes: Uint8Array): number;
  /** The guest has opened that port; what a serial one is sent before it may clear away. */
  isListening(): boolean;
  /** The power button: asks the guest to shut down. */
  pressPowerButton(): void;
  /** Devices that come and go while the machine runs. */
  readonly hot: HotDevices;
  /** A disk on virtio that comes while the machine runs, for `hot.add`. */
  hotDisk(disk: PcDisk & { readonly name: string }): HotDevice;
  /** The same for any device; the guest is told of it if it needs the capability `pci`. */
  hotDevice(spec: DeviceSpec, blocks?: Readonly<Record<string, BlockBackend>>): HotDevice;
  /** The same for the source of random bytes, of which there is one. */
  hotRandom(source: VirtioRngConfig['source']): HotDevice;
}

const LOW_RAM_MOST = 0xc000_0000; // the rest comes from 4 GiB on
const PM_BASE = 0x600;
const SCI_PIN = 9;
const OFF_TYPE = 5;
const SERIAL = { base: 0x3f8, pin: 4 };
const PCI_RANGES = { ports: 0xc000, portsEnd: 0x1_0000, memory: 0xe000_0000, memoryEnd: 0xfec0_0000 };
const PCI_PINS = [16, 17, 18, 19]; // of the I/O APIC
const PCI_LEGACY_PINS = [10, 11, 10, 11]; // of the 8259 pair
const HOTPLUG = { base: 0x620, event: 1, firstSlot: 2 };
const HPET_BASE = 0xfed0_0000;
const RANDOM_SLOT = 2;
const CONSOLE_SLOT = 31;
const FIRST_PLUG_IN_SLOT = 19; // of devices that are made for any bus
const FIRST_HOT_SLOT = 3; // of devices that say nothing else
const VMBUS_OFFERS = 16;
const KEYBOARD = { pin: 1, mousePin: 12 };

/** Composes a PC that boots a kernel, or firmware, at every power-up and reset. The machine is off at first. */
export async function createPc<V extends Vcpu & BootableVcpu>(options: PcOptions<V>): Promise<Pc<V>> {
  const load = bootOf(options); // refuses what cannot be booted before anything is made
  const { processors = 1 } = options;
  const bus = new ApicBus();
  const pci = new PciBus({ pins: PCI_PINS, legacyPins: PCI_LEGACY_PINS });
  const late: { machine: Machine<V> | null; hold: MachineHold | null } = { machine: null, hold: null }; // devices call back only while it runs
  let raiseNumericError = (_asserted: boolean): void => {};
  let input: SerialInput | ConsoleEnd | null = null; // where typed bytes go
  const virtioConsoleWanted = options.console === 'virtio';
  const outputByte = options.serial?.output.bind(options.serial) ?? (() => {});
  const outputAll = (bytes: Uint8Array): void => {
    for (const byte of bytes) outputByte(byte);
  };
  const ready = options.serial?.ready?.bind(options.serial) ?? (() => {});
  let buttons: AcpiButtons | null = null;
  let partition: Partition | null = null;
  let initialize = (): void => {};
  let picCounts: () => Iterable<readonly [name: string, count: number]> = () => [];
  const controllers = { processors, localApic: 0xfee0_0000, ioApic: 0xfec0_0000, sciPin: SCI_PIN };
  const mp = options.apic === false ? null : buildMpTable({ ...controllers, wireOf: (slot, pin) => PCI_PINS[pci.route(slot, pin + 1)]! }, MP_TABLE);
  const acpi = buildAcpiTables({
    ...controllers, pmBase: PM_BASE, offType: OFF_TYPE,
    resetPort: 0xcf9, resetValue: 0x06, serial: SERIAL, keyboard: KEYBOARD,
    ...(options.enlighten === 'hyperv-full' ? { vmbus: true } : {}),
    ...(options.apic === false ? { apic: false } : {}),
    ...(options.hpet === true ? { hpet: { base: HPET_BASE, bytes: REGISTER_BYTES, id: HPET_ID } } : {}),
    pci: { ...PCI_RANGES, hotplug: HOTPLUG, wiresOf: (slot, pin) => [PCI_PINS[pci.route(slot, pin + 1)]!, PCI_LEGACY_PINS[pci.route(slot, pin + 1)]!] },
  });
  const reset = (): void => late.machine?.requestStop('reset');
  // Of the processor alone, which goes on in the firmware at its reset vector. Kernels have none, and mean the machine.
  const resetProcessor = options.entry === 'multiboot' ? (): void => initialize() : reset;
  const services = (): PacedDiskServices => ({ clock: late.machine!.clock, hold: () => late.hold!.take(), yield: () => late.machine!.yield() });
  const virtual = options.clock?.kind === 'virtual';
  const paces = new Map<string, DiskPace>();
  const backEndOf = ({ name, disk }: Pick<NamedDisk, 'name' | 'disk'>): Readonly<Record<string, BlockBackend>> => {
    if (!virtual) return { [name]: trackedDisk(disk) };
    if (paces.has(name)) throw new VmError('E_NAME', `there is a disk named ${name}`, { device: `virtio-${name}` });
    const pace = new DiskPace(services);
    paces.set(name, pace);
    return { [name]: pacedDisk(disk, pace) };
  };
  const disks = nameDisks(options.disks ?? []);
  let hotplug: PciHotplugEnd | null = null;
  const places = new Map<string, PciSlot>(); // of devices that come while the machine runs
  const slotOf = (name: string): PciSlot => {
    const place = places.get(name);
    if (place !== undefined) return place;
    const slot = options.pciSlots?.[name] ?? pci.findFree(FIRST_PLUG_IN_SLOT);
    if (slot === null) throw new VmError('E_OVERLAP', `${name}: all slots of the PCI bus are taken`, { device: name });
    if (options.devices?.find((one) => one.name === name)?.manifest.wants?.includes('hot-remove') === true) hot.note(name, slot);
    return pci.slot(slot);
  };
  const hot = new HotDevices({
    bus: pci, firstSlot: FIRST_HOT_SLOT, machine: () => late.machine!, end: () => hotplug,
    failed: (name, error) => options.log?.(name, 'warn', `it did not go as it should: ${error instanceof Error ? error.message : String(error)}`),
  });
  // As firmware does, lines that no function of the bus uses are left as they come, edge-triggered. A kernel may be given functions later.
  const isBare = options.entry === 'multiboot' || options.rom !== undefined;
  const usesPci = !isBare || disks.length > 0 || options.random !== undefined || virtioConsoleWanted || options.pciDevices !== undefined
    || options.devices?.some(({ manifest }) => manifest.needs.includes('pci')) === true;
  const devices: DeviceSpec[] = [
    device('pic', pic8259, { connect: (counts) => (picCounts = counts), levelLines: (usesPci ? PCI_LEGACY_PINS : []).reduce((lines, pin) => lines | (1 << pin), 1 << SCI_PIN) }),
    device('io-apic', ioApic, { bus, ...(options.directedEoi === true ? { version: 0x20 } : {}) }),
    device('pit', pit8254, {}),
    device('rtc', rtcMc146818, { startMs: options.startMs ?? 0, ...(options.wallClock === undefined ? {} : { wallClock: options.wallClock }), memory: cmosMemory(Math.min(options.ramBytes, LOW_RAM_MOST), Math.max(0, options.ramBytes - LOW_RAM_MOST)) }),
    device('acpi-pm', acpiPm, {
      base: PM_BASE,
      pin: SCI_PIN,
      offType: OFF_TYPE,
      powerOff: () => late.machine?.requestStop('power-off'),
      connect: (end) => (buttons = end),
    }),
    device('host-bridge', hostBridge, { bus: pci, reset: (everything) => (everything ? reset() : resetProcessor()) }),
    device('coprocessor-error', coprocessorError, { connect: (raise) => (raiseNumericError = raise), acknowledge: () => late.machine?.vcpus.forEach((vcpu) => vcpu.numericError?.ignore()) }),
    device('i8042', i8042, { reset: resetProcessor, keyboardPin: KEYBOARD.pin, mousePin: KEYBOARD.mousePin }),
    device('com1', uart16550, {
      ...SERIAL,
      output: outputByte,
      ...(virtioConsoleWanted ? {} : { ready, connect: (end: SerialInput) => (input = end) }),
    }),
    ...(options.hpet === true ? [device('hpet', hpet, { base: HPET_BASE })] : []),
    ...(options.firmwareConfig === true ? [device('fw-cfg', fwCfg, firmwareItems(options.ramBytes, processors))] : []),
    ...(options.debugOutput === undefined ? [] : [device('debug', debugcon, { output: options.debugOutput })]),
    // Test programs look for it beside a synthetic interrupt controller.
    ...(options.enlighten === 'hyperv-full' && isBare ? [device('synthetic-test', syntheticTest, { loop: () => partition! })] : []),
    device('pci-hotplug', pciHotplug, { base: HOTPLUG.base, raise: () => buttons?.raise(HOTPLUG.event), ejected: (slot) => hot.ejected(slot), connect: (end) => (hotplug = end) }),
    device('disk-pace', diskPace, paces),
    ...diskDevices(disks, pci),
    ...(options.random === undefined ? [] : [device('virtio-rng', virtioRng, { slot: pci.slot(RANDOM_SLOT), source: options.random })]),
    ...(virtioConsoleWanted ? [device('virtio-console', virtioConsole, { slot: pci.slot(CONSOLE_SLOT), output: outputAll, ready, connect: (end) => (input = end) })] : []),
    ...(options.devices ?? []),
    ...(options.pciDevices?.(pci) ?? []),
  ];
  const backEnds = [...Object.entries(options.blocks ?? {}).map(([name, disk]) => ({ name, disk })), ...disks].map(backEndOf);
  const blocks = Object.assign({}, ...backEnds) as Readonly<Record<string, BlockBackend>>;
  for (const { name, slot } of disks) if (slot !== undefined) hot.note(`virtio-${name}`, slot);
  if (options.random !== undefined) hot.note('virtio-rng', RANDOM_SLOT);
  const { engine, ramBytes, clock, onFault, trace, log, signal, host, createMemory, restore } = options;
  const machine = await createMachine<V>({
    engine,
    processors,
    ramBytes,
    devices,
    interrupts: (services) => {
      const { enlighten, eoi, directedEoi = false, startMs = 0 } = options;
      const fabric = createApicFabric(services, {
        processors, bus, startMs, suppressesBroadcasts: directedEoi, ram: () => late.machine!.ram, resetMachine: reset,
        ...(enlighten === undefined ? {} : { enlighten, vmbusOffers: VMBUS_OFFERS }), ...(eoi === undefined ? {} : { eoi }),
      });
      partition = fabric.partition;
      initialize = fabric.initialize;
      return fabric;
    },
    pci: pciCapability(slotOf),
    firmwareBytes: options.rom?.length ?? (options.entry === 'multiboot' ? FIRMWARE_BYTES : 0),
    load: ({ memory, ram, vcpu }) => {
      hot.forget();
      if (options.rom === undefined) {
        memory.copyIn(acpi.base, acpi.bytes);
        if (mp !== null) {
          memory.copyIn(MP_POINTER, mp.pointer);
          memory.copyIn(MP_TABLE, mp.table);
        }
        pci.configure(PCI_RANGES);
      }
      load(memory, ram, vcpu, acpi.rsdp);
    },
    ...(clock === undefined ? {} : { clock }),
    ...(onFault === undefined ? {} : { onFault }),
    ...(trace === undefined ? {} : { trace }),
    blocks,
    ...(log === undefined ? {} : { log }),
    ...(signal === undefined ? {} : { signal }),
    ...(host === undefined ? {} : { host }),
    ...(createMemory === undefined ? {} : { createMemory }),
    ...(restore === undefined ? {} : { restore }),
  });
  const hold = new MachineHold(machine);
  late.machine = machine;
  machine.counters.family('device.pic', () => picCounts());
  late.hold = hold;
  for (const { numericError } of machine.vcpus) if (numericError !== undefined) numericError.output = (asserted) => raiseNumericError(asserted);
  return {
    machine,
    partition,
    hold,
    receive: (bytes) => (input === null ? 0 : input.receive(bytes)),
    isListening: () => input?.listening ?? false,
    pressPowerButton: () => buttons?.press(),
    hot,
    hotDevice: (spec, given = {}) => {
      const own = Object.assign({}, ...Object.entries(given).map(([name, disk]) => backEndOf({ name, disk }))) as Readonly<Record<string, BlockBackend>>;
      const gone = (): void => {
        places.delete(spec.name);
        for (const name of Object.keys(given)) paces.delete(name);
      };
      const onBus = spec.manifest.needs.includes('pci');
      return { name: spec.name, ...(onBus ? { slot: 'free' } : {}), make: (slot?: PciSlot) => (slot !== undefined && places.set(spec.name, slot), spec), blocks: own, gone };
    },
    hotRandom: (source) => ({ name: 'virtio-rng', slot: RANDOM_SLOT, make: (slot) => device('virtio-rng', virtioRng, { slot, source }) }),
    hotDisk: (given) => {
      const disk: NamedDisk = { ...given, serial: given.serial ?? given.name };
      return { name: `virtio-${disk.name}`, slot: disk.slot ?? 'free', make: (slot) => virtioDisk(disk, slot), blocks: backEndOf(disk), gone: () => void paces.delete(disk.name) };
    },
  };
}

/** Loads what is to run and puts the processor at its beginning; a processor that was just reset is at the beginning of firmware. */
type Boot<V> = (memory: GuestMemory, ram: Ram, vcpu: V, rsdp: number) => void;

/** Throws VmError E_IMAGE. */
function bootOf<V extends Vcpu & BootableVcpu>({ kernel, entry = 'auto', initrd, modules, commandLine, rom, romShadow = false, restore }: PcOptions<V>): Boot<V> {
  if (restore !== undefined && kernel === undefined && rom === undefined) {
    return () => {
      throw new VmError('E_IMAGE', 'a restored machine that was given no kernel cannot be reset');
    };
  }
  if ((kernel === undefined) === (rom === undefined)) throw new TypeError('createPc: expected a kernel or a rom');
  if (rom !== undefined) {
    checkRom(rom);
    return (memory, ram) => loadRom(memory, ram, rom, romShadow);
  }
  checkKernel(kernel!, entry);
  return (memory, { ranges }, vcpu, rsdp) => {
    vcpu.loadBootState(loadKernel(memory, ranges, {
      kernel: kernel!, entry, rsdp,
      ...(initrd === undefined ? {} : { initrd }), ...(modules === undefined ? {} : { modules }), ...(commandLine === undefined ? {} : { commandLine }),
    }));
  };
}
