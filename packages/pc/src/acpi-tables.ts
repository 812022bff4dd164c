import { and, busNumbers, device, eisaId, integer, interrupt, LOCAL, memory, memoryWindow, method, name, notify, packageOf, portRegisters, ports, portWindow, reference, resources, returns, scope, store, storeArgument, text, type Aml, when } from './aml.ts';
import { fillChecksum } from './checksum.ts';
import { ACPI_TABLES } from './memory-map.ts';

/** What the tables say about the machine. */
export interface AcpiMachine {
  readonly processors: number; // local APIC ids 0 and following
  readonly localApic: number;
  readonly ioApic: number;
  readonly pmBase: number; // PM1 event at +0, control at +4, timer at +8, general-purpose events at +12
  readonly sciPin: number;
  readonly offType: number; // sleep type of S5
  readonly resetPort: number;
  readonly resetValue: number;
  readonly serial?: { readonly base: number; readonly pin: number }; // absent: no serial port is described
  readonly pci?: AcpiPci; // absent: no PCI is described
  readonly vmbus?: boolean;
  readonly apic?: boolean; // false: there are none to be described
  readonly hpet?: { readonly base: number; readonly bytes: number; readonly id: number }; // absent: there are no such timers
  readonly keyboard?: { readonly pin: number; readonly mousePin: number }; // absent: no keyboard controller is described
}

export interface AcpiPci {
  readonly memory: number;
  readonly memoryEnd: number;
  /** Inputs of the I/O APIC, and of the 8259 pair, of an interrupt pin (0 to 3) in a slot. */
  readonly wiresOf: (slot: number, pin: number) => readonly [ioApic: number, pic: number];
  readonly hotplug?: AcpiHotplug; // absent: devices stay where they are
}
/** Slots whose devices come and go, and the registers for it: arrived at +0, asked at +4, eject at +8, a bit for each slot. */
export interface AcpiHotplug {
  readonly base: number;
  readonly event: number; // of general purpose
  readonly firstSlot: number; // to 31
}

export interface AcpiTables {
  readonly base: number;
  readonly rsdp: number;
  readonly bytes: Uint8Array;
}

const OEM = 'VM    ';
const OEM_TABLE = 'VMPC    ';
const CREATOR = 'VM  ';
const HEADER_BYTES = 36;

const FADT_BYTES = 276; // revision 6
const FADT_WBINVD = 1 << 0;
const FADT_PROC_C1 = 1 << 2;
const FADT_SLEEP_BUTTON_ABSENT = 1 << 5;
const FADT_RESET_REGISTER = 1 << 10;
const BOOT_LEGACY_DEVICES = 1 << 0;
const BOOT_8042 = 1 << 1;
const BOOT_VGA_ABSENT = 1 << 2;

const HPET_LEAST_TICKS = 1000; // of a period in which no interrupt is lost

const MADT_PCAT = 1 << 0; // there is a pair of 8259 to be masked
const LEVEL_HIGH = 0xd;

/** Builds RSDP, XSDT, RSDT, FADT, FACS, DSDT, MADT and, if there are such timers, HPET for a place in memory (ACPI 6.5, chapter 5.2). */
export function buildAcpiTables(machine: AcpiMachine, base: number = ACPI_TABLES): AcpiTables {
  const pieces: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  let next = base;
  const place = (bytes: Uint8Array): number => {
    const at = Math.ceil(next / 64) * 64; // FACS asks for 64, the others for less
    pieces.push({ at, bytes });
    next = at + bytes.length;
    return at;
  };
  const rsdpBytes = new Uint8Array(36);
  const rsdp = place(rsdpBytes);
  const dsdt = place(buildDsdt(machine));
  const facs = place(buildFacs());
  const fadt = place(buildFadt(machine, dsdt, facs));
  const tables = [fadt, ...(machine.apic === false ? [] : [place(buildMadt(machine))]), ...(machine.hpet === undefined ? [] : [place(buildHpet(machine.hpet))])];
  const rsdt = place(buildPointers('RSDT', 4, tables));
  const xsdt = place(buildPointers('XSDT', 8, tables));
  fillRsdp(rsdpBytes, rsdt, xsdt);
  const bytes = new Uint8Array(next - base);
  for (const piece of pieces) bytes.set(piece.bytes, piece.at - base);
  return { base, rsdp, bytes };
}

function buildDsdt(machine: AcpiMachine): Uint8Array {
  const terms: Aml[] = [name('\\_S5', packageOf(integer(machine.offType), integer(machine.offType), integer(0), integer(0)))];
  const devices: Aml[] = [];
  if (machine.serial !== undefined) {
    const { base, pin } = machine.serial;
    devices.push(device('COM1', name('_HID', eisaId('PNP0501')), name('_UID', integer(1)), name('_CRS', resources(ports(base, 8), interrupt(pin)))));
  }
  if (machine.keyboard !== undefined) {
    const { pin, mousePin } = machine.keyboard;
    devices.push(
      device('KBD', name('_HID', eisaId('PNP0303')), name('_CRS', resources(ports(0x60, 1), ports(0x64, 1), interrupt(pin)))),
      device('MOU', name('_HID', eisaId('PNP0F13')), name('_CRS', resources(interrupt(mousePin)))),
    );
  }
  // By its name, guests of Hyper-V know that somebody answers on VMBus.
  if (machine.vmbus === true) devices.push(device('VMBS', name('_HID', text('VMBUS')), name('_UID', integer(0)), name('_CRS', resources())));
  if (machine.hpet !== undefined) {
    const { base, bytes } = machine.hpet;
    devices.push(device('HPET', name('_HID', eisaId('PNP0103')), name('_UID', integer(0)), name('_CRS', resources(memory(base, bytes)))));
  }
  if (machine.pci !== undefined) {
    // The guest says by _PIC which interrupt controller it uses: 1 for the I/O APIC (5.8.1).
    terms.push(name('\\PICM', integer(0)), method('\\_PIC', 1, storeArgument('\\PICM')));
    devices.push(describePci(machine.pci));
    const { hotplug } = machine.pci;
    if (hotplug !== undefined) terms.push(scope('\\_GPE', method(`_E${hex(hotplug.event)}`, 0, reference('\\_SB.PCI0.SLTS'))));
  }
  if (devices.length > 0) terms.push(scope('\\_SB', ...devices));
  return table('DSDT', 2, Uint8Array.from(terms.flat()));
}

const PCI_SLOTS = 32;
const CONFIG_PORTS = { base: 0xcf8, count: 8 };

function describePci(pci: AcpiPci): Aml {
  const { base, count } = CONFIG_PORTS;
  const routes = (controller: 0 | 1): Aml => packageOf(...Array.from({ length: PCI_SLOTS * 4 }, (_, i) => {
    const [slot, pin] = [i >> 2, i & 3];
    return packageOf(integer(slot * 0x1_0000 + 0xffff), integer(pin), integer(0), integer(pci.wiresOf(slot, pin)[controller]!));
  }));
  return device(
    'PCI0',
    name('_HID', eisaId('PNP0A03')),
    name('_UID', integer(0)),
    name('_CRS', resources(busNumbers(0, 0), ports(base, count), portWindow(0, base - 1), portWindow(base + count, 0xffff), memoryWindow(pci.memory, pci.memoryEnd - 1))),
    name('RAPC', routes(0)),
    name('RPIC', routes(1)),
    method('_PRT', 0, when(reference('\\PICM'), returns(reference('RAPC'))), returns(reference('RPIC'))),
    ...(pci.hotplug === undefined ? [] : describeSlots(pci.hotplug)),
  );
}

const SERIALIZED = 8;
const NOTIFY_CHECK = 1;
const NOTIFY_EJECT = 3;

/** A slot is a device that can be let go (_EJ0); SLTS reads what there is to tell, and tells it. */
function describeSlots({ base, firstSlot }: AcpiHotplug): Aml[] {
  const slots = Array.from({ length: PCI_SLOTS - firstSlot }, (_, i) => firstSlot + i);
  const bit = (slot: number): Aml => integer((1 << slot) >>> 0);
  const told = (register: string, what: number): Aml[] => [store(reference(register), LOCAL), ...slots.map((slot) => when(and(LOCAL, bit(slot)), notify(`S${hex(slot)}`, what)))];
  return [
    portRegisters('SLTR', base, ['SLTA', 'SLTQ', 'SLTE']),
    ...slots.map((slot) => device(`S${hex(slot)}`, name('_ADR', integer(slot * 0x1_0000)), name('_SUN', integer(slot)), method('_EJ0', 1, store(bit(slot), reference('SLTE'))))),
    method('SLTS', SERIALIZED, ...told('SLTA', NOTIFY_CHECK), ...told('SLTQ', NOTIFY_EJECT)),
  ];
}

function hex(value: number): string {
  return value.toString(16).toUpperCase().padStart(2, '0');
}

function buildFacs(): Uint8Array {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  setText(bytes, 0, 'FACS');
  view.setUint32(4, bytes.length, true);
  bytes[32] = 2; // version
  return bytes;
}

/** Fixed ACPI description table (5.2.9). SMI_CMD is 0: the machine knows no other mode than ACPI's. */
function buildFadt(machine: AcpiMachine, dsdt: number, facs: number): Uint8Array {
  const body = new Uint8Array(FADT_BYTES - HEADER_BYTES);
  const view = new DataView(body.buffer);
  const at = (offset: number): number => offset - HEADER_BYTES;
  const { pmBase } = machine;
  view.setUint32(at(36), facs, true);
  view.setUint32(at(40), dsdt, true);
  view.setUint16(at(46), machine.sciPin, true);
  view.setUint32(at(56), pmBase, true); // PM1a event
  view.setUint32(at(64), pmBase + 4, true); // PM1a control
  view.setUint32(at(76), pmBase + 8, true); // PM timer
  body[at(88)] = 4;
  body[at(89)] = 2;
  view.setUint32(at(80), pmBase + 12, true); // general-purpose events
  body[at(91)] = 4;
  body[at(92)] = 4;
  view.setUint16(at(96), 0xffff, true); // no C2
  view.setUint16(at(98), 0xffff, true); // no C3
  body[at(108)] = 0x32; // century byte of the clock
  view.setUint16(at(109), BOOT_LEGACY_DEVICES | BOOT_VGA_ABSENT | (machine.keyboard === undefined ? 0 : BOOT_8042), true);
  view.setUint32(at(112), FADT_WBINVD | FADT_PROC_C1 | FADT_SLEEP_BUTTON_ABSENT | FADT_RESET_REGISTER, true);
  setPort(view, at(116), machine.resetPort, 8);
  body[at(128)] = machine.resetValue;
  body[at(131)] = 0; // minor version
  // The 64-bit FACS and DSDT pointers at 132 and 140: only one FACS pointer may be set, so DSDT alone.
  view.setUint32(at(140), dsdt, true);
  setPort(view, at(148), pmBase, 32);
  setPort(view, at(172), pmBase + 4, 16);
  setPort(view, at(208), pmBase + 8, 32);
  setPort(view, at(220), pmBase + 12, 32);
  return table('FACP', 6, body);
}

/** Multiple APIC description table (5.2.12). */
function buildMadt(machine: AcpiMachine): Uint8Array {
  const entries: number[][] = [];
  for (let id = 0; id < machine.processors; id++) entries.push([0, 8, id, id, ...dword(1)]);
  entries.push([1, 12, 0, 0, ...dword(machine.ioApic), ...dword(0)]);
  entries.push([2, 10, 0, 0, ...dword(2), 0, 0]); // the timer of ISA is wired to input 2
  entries.push([2, 10, 0, machine.sciPin, ...dword(machine.sciPin), LEVEL_HIGH, 0]);
  entries.push([4, 6, 0xff, 0, 0, 1]); // NMI at LINT1 of every processor
  return table('APIC', 5, Uint8Array.from([...dword(machine.localApic), ...dword(MADT_PCAT), ...entries.flat()]));
}

/** IA-PC HPET specification 1.0a, section 3.2.4. */
function buildHpet({ base, id }: NonNullable<AcpiMachine['hpet']>): Uint8Array {
  const body = new Uint8Array(20);
  const view = new DataView(body.buffer);
  view.setUint32(0, id, true);
  view.setUint32(8, base, true); // in memory: the rest of the address structure is 0
  view.setUint16(17, HPET_LEAST_TICKS, true);
  return table('HPET', 1, body);
}

function buildPointers(signature: string, width: 4 | 8, targets: readonly number[]): Uint8Array {
  const body = new Uint8Array(targets.length * width);
  const view = new DataView(body.buffer);
  targets.forEach((target, i) => view.setUint32(i * width, target, true));
  return table(signature, 1, body);
}

/** Root system description pointer (5.2.5.3), with one checksum over its first 20 bytes and one over all. */
function fillRsdp(bytes: Uint8Array, rsdt: number, xsdt: number): void {
  const view = new DataView(bytes.buffer);
  setText(bytes, 0, 'RSD PTR ');
  setText(bytes, 9, OEM);
  bytes[15] = 2; // revision
  view.setUint32(16, rsdt, true);
  view.setUint32(20, bytes.length, true);
  view.setUint32(24, xsdt, true);
  fillChecksum(bytes.subarray(0, 20), 8);
  fillChecksum(bytes, 32);
}

function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  setText(bytes, 0, signature);
  view.setUint32(4, bytes.length, true);
  bytes[8] = revision;
  setText(bytes, 10, OEM);
  setText(bytes, 16, OEM_TABLE);
  view.setUint32(24, 1, true);
  setText(bytes, 28, CREATOR);
  view.setUint32(32, 1, true);
  bytes.set(body, HEADER_BYTES);
  fillChecksum(bytes, 9);
  return bytes;
}

/** Generic address structure of a port (5.2.3.2). */
function setPort(view: DataView, at: number, port: number, bits: 8 | 16 | 32): void {
  view.setUint8(at, 1);
  view.setUint8(at + 1, bits);
  view.setUint8(at + 3, { 8: 1, 16: 2, 32: 3 }[bits]);
  view.setUint32(at + 4, port, true);
}

function setText(bytes: Uint8Array, at: number, value: string): void {
  for (let i = 0; i < value.length; i++) bytes[at + i] = value.charCodeAt(i);
}

function dword(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}
