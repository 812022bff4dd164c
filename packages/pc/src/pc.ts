import { ApicBus, createApicFabric } from '@vm/apic';
import { ioApic, pic8259 } from '@vm/apic/device';
import { createMachine, device, type DeviceSpec, type Engine, type Machine, type MachineOptions, type Vcpu } from '@vm/core';
import { type AcpiButtons, acpiPm } from '@vm/device-acpi-pm';
import { debugcon } from '@vm/device-debugcon';
import { i8042 } from '@vm/device-i8042';
import { pit8254 } from '@vm/device-pit8254';
import { rtcMc146818 } from '@vm/device-rtc-mc146818';
import { type SerialInput, uart16550 } from '@vm/device-uart16550';
import { buildAcpiTables } from './acpi-tables.ts';
import type { BootableVcpu } from './boot-state.ts';
import { hostBridge } from './host-bridge.ts';
import { type KernelEntry, loadKernel } from './kernel-boot.ts';

/** The host side of a serial port. */
export interface PcSerial {
  /** A byte from the guest. */
  output(byte: number): void;
  /** There is room again after `receive` refused bytes, or the guest has just opened the port. */
  ready?(): void;
}

export interface PcOptions<V extends Vcpu & BootableVcpu> {
  readonly engine: Engine<V>;
  readonly ramBytes: number;
  readonly kernel: Uint8Array; // a bzImage, or an ELF file such as a vmlinux
  readonly entry?: KernelEntry; // default: auto
  readonly initrd?: Uint8Array;
  readonly commandLine?: string;
  readonly serial?: PcSerial; // absent: what the guest sends is dropped
  readonly debugOutput?: (byte: number) => void; // port 0xe9; absent: no such port
  readonly startMs?: number; // what the real-time clock starts from, milliseconds since 1970; default 0
  readonly devices?: readonly DeviceSpec[]; // more devices, after those of the board
  readonly clock?: MachineOptions['clock'];
  readonly blocks?: MachineOptions['blocks'];
  readonly log?: MachineOptions['log'];
  readonly signal?: AbortSignal;
  readonly host?: MachineOptions['host'];
  readonly createMemory?: MachineOptions['createMemory'];
}

export interface Pc<V extends Vcpu & BootableVcpu> {
  readonly machine: Machine<V>;
  /** Bytes for the guest's serial port: how many it took. */
  receive(bytes: Uint8Array): number;
  /** The guest has opened the serial port; what it is sent before it may clear away. */
  isListening(): boolean;
  /** The power button: asks the guest to shut down. */
  pressPowerButton(): void;
}

const PM_BASE = 0x600;
const SCI_PIN = 9;
const OFF_TYPE = 5;
const SERIAL = { base: 0x3f8, pin: 4 };
const KEYBOARD = { pin: 1, mousePin: 12 };

/** Composes a PC with one processor and boots a Linux kernel at every power-up and reset. The machine is off at first. */
export async function createPc<V extends Vcpu & BootableVcpu>(options: PcOptions<V>): Promise<Pc<V>> {
  const bus = new ApicBus();
  const late: { machine: Machine<V> | null } = { machine: null }; // devices call back only while it runs
  let input: SerialInput | null = null;
  let buttons: AcpiButtons | null = null;
  const acpi = buildAcpiTables({
    processors: 1, localApic: 0xfee0_0000, ioApic: 0xfec0_0000, pmBase: PM_BASE, sciPin: SCI_PIN, offType: OFF_TYPE,
    resetPort: 0xcf9, resetValue: 0x06, serial: SERIAL, keyboard: KEYBOARD,
  });
  const reset = (): void => late.machine?.requestStop('reset');
  const devices: DeviceSpec[] = [
    device('pic', pic8259, { levelLines: 1 << SCI_PIN }),
    device('io-apic', ioApic, { bus }),
    device('pit', pit8254, {}),
    device('rtc', rtcMc146818, { startMs: options.startMs ?? 0 }),
    device('acpi-pm', acpiPm, {
      base: PM_BASE,
      pin: SCI_PIN,
      offType: OFF_TYPE,
      powerOff: () => late.machine?.requestStop('power-off'),
      connect: (end) => (buttons = end),
    }),
    device('host-bridge', hostBridge, { reset }),
    device('i8042', i8042, { reset, keyboardPin: KEYBOARD.pin, mousePin: KEYBOARD.mousePin }),
    device('com1', uart16550, {
      ...SERIAL,
      output: options.serial?.output.bind(options.serial) ?? (() => {}),
      ready: options.serial?.ready?.bind(options.serial) ?? (() => {}),
      connect: (end) => (input = end),
    }),
    ...(options.debugOutput === undefined ? [] : [device('debug', debugcon, { output: options.debugOutput })]),
    ...(options.devices ?? []),
  ];
  const { engine, ramBytes, kernel, entry = 'auto', initrd, commandLine, clock, blocks, log, signal, host, createMemory } = options;
  const machine = await createMachine<V>({
    engine,
    ramBytes,
    devices,
    interrupts: (services) => createApicFabric(services, { processors: 1, bus }),
    load: ({ memory, ram, vcpu }) => {
      memory.copyIn(acpi.base, acpi.bytes);
      const boot = { kernel, entry, rsdp: acpi.rsdp, ...(initrd === undefined ? {} : { initrd }), ...(commandLine === undefined ? {} : { commandLine }) };
      vcpu.loadBootState(loadKernel(memory, ram.ranges, boot));
    },
    ...(clock === undefined ? {} : { clock }),
    ...(blocks === undefined ? {} : { blocks }),
    ...(log === undefined ? {} : { log }),
    ...(signal === undefined ? {} : { signal }),
    ...(host === undefined ? {} : { host }),
    ...(createMemory === undefined ? {} : { createMemory }),
  });
  late.machine = machine;
  return {
    machine,
    receive: (bytes) => (input === null ? 0 : input.receive(bytes)),
    isListening: () => input?.listening ?? false,
    pressPowerButton: () => buttons?.press(),
  };
}
