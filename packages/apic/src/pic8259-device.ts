import type { Device, DeviceContext, DeviceModule, LineSink, Plain } from '@vm/core';
import { Pic8259, type Pic8259State } from './pic8259.ts';
import type { Pic8259ChipState } from './pic8259-chip.ts';

export interface Pic8259Config {
  /** Lines that are level-triggered at power-up, one bit each (ports 0x4d0 and 0x4d1); default none. */
  readonly levelLines?: number;
  /** Gets what reads the counts of the pair, when it is made. */
  readonly connect?: (counts: () => Iterable<readonly [name: string, count: number]>) => void;
}

const CHIP_FIELDS: readonly (keyof Pic8259ChipState)[] = ['lines', 'edges', 'mask', 'inService', 'level', 'base', 'lowest', 'step', 'flags'];

class Pic8259Device implements Device, LineSink {
  readonly #pair: Pic8259;
  readonly #levelLines: number;

  constructor(ctx: DeviceContext<'pio' | 'controller'>, config: Pic8259Config) {
    const pair = new Pic8259((high) => ctx.controller.intr.set(high));
    this.#pair = pair;
    this.#levelLines = config.levelLines ?? 0;
    config.connect?.(() => pair.counts());
    ctx.controller.attach(0, 16, this);
    ctx.pio.claim('master', 2, { read: (offset) => pair.read('master', offset), write: (offset, _size, value) => pair.write('master', offset, value) }, [1]).map(0x20);
    ctx.pio.claim('slave', 2, { read: (offset) => pair.read('slave', offset), write: (offset, _size, value) => pair.write('slave', offset, value) }, [1]).map(0xa0);
    ctx.pio.claim('level', 2, {
      read: (offset) => (pair.level >>> (offset * 8)) & 0xff,
      write: (offset, _size, value) => {
        pair.level = offset === 0 ? (pair.level & 0xff00) | value : (pair.level & 0xff) | (value << 8);
      },
    }, [1]).map(0x4d0);
  }

  powerUp(): void {
    this.#pair.reset();
    this.#pair.level = this.#levelLines;
  }

  save(): Plain {
    const { master, slave } = this.#pair.save();
    return { master: { ...master }, slave: { ...slave } };
  }

  load(state: Plain): void {
    this.#pair.load(checkState(state));
  }

  setLine(pin: number, high: boolean): void {
    this.#pair.setLine(pin, high);
  }

  acknowledge(): number {
    return this.#pair.acknowledge();
  }
}

function checkState(state: Plain): Pic8259State {
  const { master, slave } = (state ?? {}) as { readonly master?: Plain; readonly slave?: Plain };
  for (const chip of [master, slave]) {
    const fields = (chip ?? {}) as Readonly<Record<string, Plain>>;
    for (const field of CHIP_FIELDS) {
      if (typeof fields[field] !== 'number') throw new TypeError(`pic8259: ${field} expected a number`);
    }
  }
  return { master: master as unknown as Pic8259ChipState, slave: slave as unknown as Pic8259ChipState };
}

/** The pair of 8259A: machine pins 0 to 15, ports 0x20, 0xa0 and 0x4d0. */
export const pic8259: DeviceModule<Pic8259Config, 'pio' | 'controller'> = {
  manifest: { abi: 1, id: 'vm.pic8259', version: '0.0.0', state: 1, needs: ['pio', 'controller'] },
  create: (ctx, config) => new Pic8259Device(ctx, config),
};
