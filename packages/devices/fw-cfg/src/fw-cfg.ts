import type { Device, DeviceContext, DeviceModule, Plain, Size } from '@vm/core';

export interface FwCfgConfig {
  readonly base?: number; // default 0x510
  /** Items by their number, from 2 to 0xffff. */
  readonly items?: Readonly<Record<number, Uint8Array>>;
  /** Items by name, at most 55 ASCII characters, which the guest finds in the directory. */
  readonly files?: Readonly<Record<string, Uint8Array>>;
}

// Numbers of items: QEMU, docs/specs/fw_cfg.
const SIGNATURE = 0x00;
const FEATURES = 0x01;
const FEATURE_PORTS = 1 << 0; // this interface; bit 1 would be direct memory access
const DIRECTORY = 0x19;
const FIRST_FILE = 0x20;
const MOST_FILES = 0x3fe0;
const ENTRY_BYTES = 64;
const NAME_AT = 8;
const NAME_BYTES = ENTRY_BYTES - NAME_AT;
const NOTHING: Uint8Array = new Uint8Array(0);

class FwCfg implements Device {
  #selector = 0;
  #offset = 0;
  #item: Uint8Array = NOTHING;
  readonly #items: ReadonlyMap<number, Uint8Array>;

  constructor(ctx: DeviceContext<'pio'>, config: FwCfgConfig) {
    this.#items = buildItems(config);
    // A word goes to the selector; a byte is data, wherever.
    ctx.pio.claim('registers', 2, {
      read: (_offset, size) => (size === 1 ? this.#next() : 0xffff),
      write: (_offset, size, value) => this.#write(size, value),
    }, [1, 2]).map(config.base ?? 0x510);
  }

  powerUp(): void {
    this.#select(0, 0);
  }

  save(): Plain {
    return { selector: this.#selector, offset: this.#offset };
  }

  load(state: Plain): void {
    const { selector, offset } = (state ?? {}) as Readonly<Record<string, Plain>>;
    if (typeof selector !== 'number' || typeof offset !== 'number') throw new TypeError('fw-cfg: selector and offset expected numbers');
    this.#select(selector & 0xffff, offset >= 0 ? Math.floor(offset) : 0);
  }

  #write(size: Size, value: number): void {
    if (size === 2) this.#select(value, 0);
  }

  #select(selector: number, offset: number): void {
    this.#selector = selector;
    this.#item = this.#items.get(selector) ?? NOTHING;
    this.#offset = Math.min(offset, this.#item.length);
  }

  /** Items that are not there, and what follows an item, are zeros. */
  #next(): number {
    return this.#offset < this.#item.length ? this.#item[this.#offset++]! : 0;
  }
}

function buildItems({ items = {}, files = {} }: FwCfgConfig): ReadonlyMap<number, Uint8Array> {
  const named = Object.entries(files);
  if (named.length > MOST_FILES) throw new RangeError(`fw-cfg: at most ${MOST_FILES} files expected, got ${named.length}`);
  const all = new Map<number, Uint8Array>([[SIGNATURE, Uint8Array.of(0x51, 0x45, 0x4d, 0x55)], [FEATURES, Uint8Array.of(FEATURE_PORTS, 0, 0, 0)]]);
  for (const [number, bytes] of Object.entries(items)) all.set(Number(number), bytes);
  const directory = new Uint8Array(4 + named.length * ENTRY_BYTES);
  const view = new DataView(directory.buffer);
  view.setUint32(0, named.length);
  named.forEach(([name, bytes], i) => {
    if (!/^[ -~]+$/.test(name) || name.length >= NAME_BYTES) throw new RangeError(`fw-cfg: a name of 1 to ${NAME_BYTES - 1} ASCII characters expected, got ${JSON.stringify(name)}`);
    const at = 4 + i * ENTRY_BYTES;
    view.setUint32(at, bytes.length);
    view.setUint16(at + 4, FIRST_FILE + i);
    for (let c = 0; c < name.length; c++) directory[at + NAME_AT + c] = name.charCodeAt(c);
    all.set(FIRST_FILE + i, bytes);
  });
  return all.set(DIRECTORY, directory);
}

/** The configuration port of QEMU's machines: a selector of 16 bits, and bytes of the item that it names. */
export const fwCfg: DeviceModule<FwCfgConfig, 'pio'> = {
  manifest: { abi: 1, id: 'vm.fw-cfg', version: '0.0.0', state: 1, needs: ['pio'] },
  create: (ctx, config) => new FwCfg(ctx, config),
};
