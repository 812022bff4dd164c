/** A guest of four-level paging for tests, which builds its tables with plain stores. */
import { ModelMachine, ROLE_LONG } from './model-machine.ts';
import type { ModelOptions } from './model-machine.ts';
import type { IdealAccess } from './ideal-tlb.ts';

export const READ: IdealAccess = { kind: 'read', user: false, open: false };
export const WRITE: IdealAccess = { kind: 'write', user: false, open: false };
export const USER_READ: IdealAccess = { kind: 'read', user: true, open: false };
export const USER_WRITE: IdealAccess = { kind: 'write', user: true, open: false };
export const RW = 7; // present, writable, for the user too
export const RO = 5;
export const SUPERVISOR = 3;
export const DIRTY = 0x60; // accessed and dirty
export const LARGE = 0x80;
export const GLOBAL = 0x100;

export class ModelGuest {
  readonly machine: ModelMachine;
  #next = 1;

  /** Page tables are tracked from the first if nothing else is asked for. */
  constructor(options: Partial<ModelOptions> = {}) {
    this.machine = new ModelMachine({ frames: 1200, tables: 256, policy: 'cached', threshold: 0, ...options });
  }
  get counters(): ModelMachine['counters'] { return this.machine.counters; }

  /** A frame that was not used before. */
  frame(): number { return this.#next++; }
  /** Stores an entry as a device or a loader does, so that nobody misses it. */
  store(address: number, value: number): void {
    this.machine.memory.write64(address, value, 0);
    this.machine.mmu.noteGuestWrite(address, 8);
  }
  #child(table: number, index: number, bits: number): number {
    const at = table * 4096 + index * 8;
    const entry = this.machine.memory.read32(at);
    if ((entry & 1) !== 0) return entry >>> 12;
    const made = this.frame();
    this.store(at, (made << 12) | bits);
    return made;
  }
  /** Address of the entry of `level` for an address, with the tables above it made. */
  entry(root: number, address: bigint, level = 1, above: number = RW): number {
    let table = root;
    for (let at = 4; at > level; at--) table = this.#child(table, index(address, at), above);
    return table * 4096 + index(address, level) * 8;
  }
  map(root: number, address: bigint, frame: number, bits: number = RW, above: number = RW): void {
    this.store(this.entry(root, address, 1, above), (frame << 12) | bits);
  }
  /** `pages` pages from `address`, each to a new frame. */
  mapNew(root: number, address: bigint, pages: number, bits: number = RW): void {
    for (let i = 0; i < pages; i++) this.map(root, address + BigInt(i) * 4096n, this.frame(), bits);
  }

  use(root: number, processor = 0): void { this.machine.switchTo(processor, root * 4096); }
  configure(role: number, root: number, processor = 0): void { this.machine.configure(processor, role, root * 4096); }
  /** The frame that an access reaches, or -1 - error code; checked against the oracle. */
  access(address: bigint, access: IdealAccess = READ, processor = 0): number {
    return this.machine.translate(processor, address, access);
  }
  /** A store of an entry through the address, as guests edit their tables. */
  write(address: bigint, value: number, processor = 0): void {
    const frame = this.access(address, WRITE, processor);
    if (frame < 0) throw new Error(`the guest may not write to ${address.toString(16)}: ${-1 - frame}`);
    this.machine.memory.write64(frame * 4096 + Number(address & 0xfffn), value, 0);
  }
  touch(address: bigint, pages: number, processor = 0, access: IdealAccess = READ): void {
    for (let i = 0; i < pages; i++) this.access(address + BigInt(i) * 4096n, access, processor);
  }
  /** Fills of the shadow tables that `work` causes. */
  fills(work: () => void): number {
    const before = this.counters.fills;
    work();
    return this.counters.fills - before;
  }
  intercepts(work: () => void): number {
    const before = this.counters.intercepts;
    work();
    return this.counters.intercepts - before;
  }
}
const index = (address: bigint, level: number): number => Number((address >> BigInt(12 + 9 * (level - 1))) & 511n);
export { ROLE_LONG };
