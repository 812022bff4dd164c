import type { Capability, Device, DeviceContext, DeviceModule, IoHandler, IoRegion, IoSpace, LineSink, Nanos, Plain, Size } from '@vm/core';
import { fixedPci } from './fixed-pci.ts';
import { createVirtualClock } from './virtual-clock.ts';

/** One device on a fake machine: virtual time, checked accesses, no engine. */
export interface Bench {
  readonly device: Device;
  in(port: number, size?: Size): number;
  out(port: number, value: number, size?: Size): void;
  readMmio(gpa: number, size?: Size): number;
  writeMmio(gpa: number, value: number, size?: Size): void;
  now(): Nanos;
  advance(ns: Nanos): void;
  /** Level of a pin. */
  line(pin: number): boolean;
  /** How often the pin rose since the bench was made. */
  rises(pin: number): number;
  /** Drives a pin of the machine, for interrupt controllers. */
  drive(pin: number, high: boolean): void;
  /** Level of the output of an interrupt controller. */
  intr(): boolean;
  readonly messages: readonly { readonly address: number; readonly data: number }[];
  reset(): void;
  save(): Plain;
  /** Makes the device anew, at the same machine time, powers it up and loads `state`. */
  restore(state: Plain): Bench;
}

interface Claim {
  readonly name: string;
  readonly bytes: number;
  readonly handler: IoHandler;
  readonly sizes: readonly Size[];
  base: number;
}

/** An address space that splits as the machine does and refuses results that are no unsigned integers of their size. */
class CheckedSpace implements IoSpace {
  readonly #claims: Claim[] = [];

  claim(name: string, bytes: number, handler: IoHandler, sizes: readonly Size[] = [1, 2, 4]): IoRegion {
    const claim: Claim = { name, bytes, handler, sizes, base: -1 };
    this.#claims.push(claim);
    return {
      get base() {
        return claim.base;
      },
      bytes,
      map: (base) => {
        const other = this.#claims.find((one) => one !== claim && one.base >= 0 && base < one.base + one.bytes && one.base < base + bytes);
        if (other !== undefined) throw new Error(`${name}: overlaps ${other.name}`);
        claim.base = base;
      },
      unmap: () => {
        claim.base = -1;
      },
    };
  }

  read(address: number, size: Size): number {
    const claim = this.#find(address);
    if (claim === null) return allOnes(size);
    const offset = address - claim.base;
    if (claim.sizes.includes(size) && offset + size <= claim.bytes) {
      const value = claim.handler.read(offset, size);
      if (!Number.isInteger(value) || value < 0 || value > allOnes(size)) throw new Error(`${claim.name}: result of ${size} bytes expected, got ${value}`);
      return value;
    }
    if (size > 1 && claim.sizes.some((one) => one < size)) {
      const half = (size / 2) as Size;
      return this.read(address, half) + this.read(address + half, half) * 2 ** (half * 8);
    }
    const wide = claim.sizes[0]!;
    const start = offset - (offset % wide);
    return Math.floor(claim.handler.read(start, wide) / 2 ** ((offset - start) * 8)) % (allOnes(size) + 1);
  }

  write(address: number, size: Size, value: number): void {
    const claim = this.#find(address);
    if (claim === null) return;
    const offset = address - claim.base;
    if (claim.sizes.includes(size) && offset + size <= claim.bytes) {
      claim.handler.write(offset, size, value);
    } else if (size > 1 && claim.sizes.some((one) => one < size)) {
      const half = (size / 2) as Size;
      this.write(address, half, value % 2 ** (half * 8));
      this.write(address + half, half, Math.floor(value / 2 ** (half * 8)));
    }
  }

  #find(address: number): Claim | null {
    return this.#claims.find((claim) => claim.base >= 0 && address >= claim.base && address < claim.base + claim.bytes) ?? null;
  }
}

function allOnes(size: Size): number {
  return 2 ** (size * 8) - 1;
}

export function bench<Config, C extends Capability>(module: DeviceModule<Config, C>, config: Config, start: Nanos = 0): Bench {
  const clock = createVirtualClock(start);
  const pio = new CheckedSpace();
  const mmio = new CheckedSpace();
  const levels = new Map<number, boolean[]>(); // one level for each connection to the pin
  const rises = new Map<number, number>();
  const sinks: { readonly first: number; readonly pins: number; readonly sink: LineSink }[] = [];
  const messages: { address: number; data: number }[] = [];
  let intr = false;
  const isHigh = (pin: number): boolean => levels.get(pin)?.includes(true) ?? false;

  const offered = {
    name: 'device',
    signal: new AbortController().signal,
    log: () => {},
    pio,
    mmio,
    clock,
    lines: {
      connect: (pin: number) => {
        const connections = levels.get(pin) ?? [];
        levels.set(pin, connections);
        const index = connections.push(false) - 1;
        return {
          set: (high: boolean) => {
            const before = isHigh(pin);
            connections[index] = high;
            if (!before && isHigh(pin)) rises.set(pin, (rises.get(pin) ?? 0) + 1);
          },
        };
      },
    },
    controller: {
      attach: (first: number, pins: number, sink: LineSink) => void sinks.push({ first, pins, sink }),
      intr: { set: (high: boolean) => void (intr = high) },
    },
    msi: { send: (address: number, data: number) => void messages.push({ address, data }) },
  };
  Object.assign(offered, { pci: fixedPci()('device', offered) });
  const missing = module.manifest.needs.filter((need) => !(need in offered));
  if (missing.length > 0) throw new Error(`${module.manifest.id}: the bench does not offer ${missing.join(', ')}`);
  const device = module.create(offered as unknown as DeviceContext<C>, config);
  now(device.powerUp?.('cold'));
  device.start?.();

  return {
    device,
    in: (port, size = 1) => pio.read(port, size),
    out: (port, value, size = 1) => pio.write(port, size, value),
    readMmio: (gpa, size = 4) => mmio.read(gpa, size),
    writeMmio: (gpa, value, size = 4) => mmio.write(gpa, size, value),
    now: () => clock.now(),
    advance: (ns) => clock.advance(ns),
    line: isHigh,
    rises: (pin) => rises.get(pin) ?? 0,
    drive: (pin, high) => {
      for (const { first, pins, sink } of sinks) if (pin >= first && pin < first + pins) sink.setLine(pin, high);
    },
    intr: () => intr,
    messages,
    reset: () => {
      now(device.stop?.());
      now(device.powerDown?.());
      now(device.powerUp?.('reset'));
      device.start?.();
    },
    save: () => {
      now(device.stop?.());
      const state = device.save?.() ?? null;
      device.start?.();
      return structuredClone(state);
    },
    restore: (state) => {
      const other = bench(module, config, clock.now());
      now(other.device.powerUp?.('restore'));
      other.device.load?.(state, module.manifest.state);
      return other;
    },
  };
}

function now(result: void | Promise<void>): void {
  if (result instanceof Promise) throw new Error('the bench has only devices whose hooks are synchronous');
}
