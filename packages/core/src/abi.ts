/**
 * The device ABI, version 1: types only, nothing here exists at run time.
 * A device imports these with `import type` and gets every service from its context.
 */
import type { Pci } from './pci.ts';

export type Gpa = number; // guest-physical byte address, an integer below 2**52: never use bit operators on it
export type Nanos = number; // machine time; advances only while the machine runs
export type Size = 1 | 2 | 4; // wider accesses go to readWide/writeWide or are split, low part first
export type Plain = null | boolean | number | bigint | string | Uint8Array | readonly Plain[] | { readonly [key: string]: Plain };
export type Phase = 'off' | 'initializing' | 'powering-up' | 'loading' | 'running' | 'saving' | 'powering-down' | 'tearing-down';
export type LogLevel = 'debug' | 'info' | 'warn';

/** What answers accesses to a claimed region. Plain numbers, never asynchronous, must not throw. */
export interface IoHandler {
  /** The result is an unsigned integer of `size` bytes. */
  read(offset: number, size: Size): number;
  write(offset: number, size: Size, value: number): void;
  /** Asked after a read: from the next one on, reads change nothing and give the same until another access, a timer or an event of the host. Absent: not so. */
  isSteady?(offset: number, size: Size): boolean;
  /** Accesses of 8 bytes and more, whole. Absent: they arrive split. `into` and `from` are reused: copy, do not keep. */
  readWide?(offset: number, bytes: number, into: DataView): void;
  writeWide?(offset: number, bytes: number, from: DataView): void;
}
export interface IoRegion {
  readonly base: number; // -1 while unmapped
  readonly bytes: number;
  /** Makes the region visible at `base`. Throws VmError E_OVERLAP when the range is taken. Moving needs no unmap. */
  map(base: number): void;
  unmap(): void;
}
/** One address space. `sizes` lists what the handler takes: wider accesses are split, narrower reads cut out, narrower writes dropped. */
export interface IoSpace {
  claim(name: string, bytes: number, handler: IoHandler, sizes?: readonly Size[]): IoRegion;
}

/** A level. Several devices on one pin are OR-ed by the machine. An edge is `set(true)` after `set(false)`. */
export interface Line {
  set(high: boolean): void;
}
export interface Lines {
  connect(pin: number): Line;
}
/** The inputs of an interrupt controller. Several controllers may listen to one pin. */
export interface LineSink {
  setLine(pin: number, high: boolean): void;
  /** The controller that feeds `intr` answers the processor's acknowledge cycle with a vector. */
  acknowledge?(): number;
  /** A processor ended the interrupt `vector`, and said so to all controllers. */
  endOfInterrupt?(vector: number): void;
}
export interface Controller { // for interrupt controllers only
  /** Machine pins `firstPin` and following arrive at `sink` under their machine numbers. */
  attach(firstPin: number, pins: number, sink: LineSink): void;
  /** The output pin to the processors (the INTR wire of an 8259). */
  readonly intr: Line;
}
export interface Msi { send(address: Gpa, data: number): void }

export interface Timer {
  /** Fires once at `due`, or at once after the present access when that is past. Arming again moves it. */
  arm(due: Nanos): void;
  disarm(): void;
  readonly due: Nanos; // Infinity: not armed
}
export interface Clock {
  now(): Nanos;
  /** `fire` gets the time it was armed for. It may arm again from there without drift. */
  timer(fire: (due: Nanos) => void): Timer;
}

/** Guest RAM as a device sees it. Every store is noticed by whoever watches that page. */
export interface GuestMemory {
  /** All-ones where there is no RAM. */
  read(gpa: Gpa, size: Size): number;
  /** Ignored where there is no RAM. */
  write(gpa: Gpa, size: Size, value: number): void;
  /** False: some of the range is not RAM, and nothing was copied. */
  copyOut(gpa: Gpa, into: Uint8Array): boolean;
  copyIn(gpa: Gpa, from: Uint8Array): boolean;
  /** RAM itself, for reading; null when the range is not RAM of one piece. Valid until stop(). */
  readWindow(gpa: Gpa, bytes: number): Uint8Array | null;
  /** RAM itself, for storing. Nobody knows of the stores until `commit` names them. Host I/O must not write into it. */
  writeWindow(gpa: Gpa, bytes: number): Uint8Array | null;
  commit(gpa: Gpa, bytes: number): void;
}

/** The host side of a device takes part in the barriers of the machine: after `stop` nothing is in flight. */
export interface HostPart {
  start?(): void;
  stop?(): void | Promise<void>;
}
/** A disk as bytes. Ranges are checked by the back end, which rejects with VmError. */
export interface BlockBackend extends HostPart {
  readonly bytes: number;
  readonly writable: boolean;
  read(at: number, into: Uint8Array): Promise<void>;
  write(at: number, from: Uint8Array): Promise<void>;
  flush(): Promise<void>;
  discard(at: number, bytes: number): Promise<void>;
  writeZeroes(at: number, bytes: number): Promise<void>;
}
/** Names are bound by the composer; a device never sees a path. */
export interface Host {
  block(name: string): BlockBackend;
}

export interface Capabilities {
  pio: IoSpace;
  mmio: IoSpace;
  lines: Lines;
  controller: Controller;
  msi: Msi;
  clock: Clock;
  dma: GuestMemory;
  host: Host;
  pci: Pci;
}
export type Capability = keyof Capabilities;
export interface BaseContext {
  readonly name: string;
  /** Aborted when the device is torn down. */
  readonly signal: AbortSignal;
  log(level: LogLevel, text: string): void;
}
/** Exactly the members that the manifest's `needs` names. */
export type DeviceContext<C extends Capability> = BaseContext & Readonly<Pick<Capabilities, C>>;

export interface DeviceManifest<C extends Capability = Capability> {
  readonly abi: 1;
  readonly id: string; // e.g. 'acme.uart16550'; written into saved machines, never reused
  readonly version: string; // of the package, for people
  readonly state: number; // version of what save() returns; 0: stateless
  readonly oldestState?: number; // oldest version that load() takes; absent: only `state`
  readonly needs: readonly C[];
  readonly wants?: readonly string[]; // optional features of the machine, e.g. 'hot-remove'
}
/** Every hook is optional; absent means that there is nothing to do. */
export interface Device {
  powerUp?(why: 'cold' | 'reset' | 'restore'): void | Promise<void>; // own registers, own lines, own timers
  load?(state: Plain, version: number): void; // state is hostile: check, then assign
  start?(): void; // asynchronous work may begin
  stop?(): void | Promise<void>; // afterwards nothing is in flight; the machine freezes timers itself
  save?(): Plain; // pure, and only while stopped
  powerDown?(): void | Promise<void>;
  tearDown?(): void | Promise<void>;
}
export interface DeviceModule<Config = void, C extends Capability = Capability> {
  readonly manifest: DeviceManifest<C>;
  /** Claims regions, lines and timers; touches nothing. */
  create(ctx: DeviceContext<C>, config: Config): Device;
}
