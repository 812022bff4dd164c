/** Is a shadow entry still what the guest's entry says? The shadow entry itself is the snapshot that is compared. */
import { PTE_ACCESSED, PTE_DIRTY, PTE_LARGE, PTE_PRESENT } from '@vm/x86';
import { isReservedWide, largeFrame32, narrow, wideFrame } from './guest-walk.ts';
import type { GuestWalk } from './guest-walk.ts';
import { FRAME_BYTES } from './layout.ts';
import type { TableMemory } from './ports.ts';
import { MODE_32, MODE_MASK, RIGHTS, ROLE_PSE, rightsOf } from './role.ts';
import { directKey, KEY_DIRTY, keyAccess, keyLevel, keyPart, keyRole, tableKey } from './table-key.ts';
import { NO_FRAME } from './table-pool.ts';
import type { TablePool } from './table-pool.ts';

const LARGE_FRAMES = 512;
const HUGE_FRAMES = 512 * 512;

export class EntryCheck {
  readonly #pool: TablePool;
  readonly #memory: TableMemory;
  readonly #walk: GuestWalk;

  constructor(pool: TablePool, memory: TableMemory, walk: GuestWalk) {
    this.#pool = pool;
    this.#memory = memory;
    this.#walk = walk;
  }

  /** Reads the guest's entry again. An entry that is not accessed any more, or not dirty, has to be walked to again. */
  isCurrent(table: number, index: number): boolean {
    const pool = this.#pool;
    const key = pool.key[table] as number;
    const frame = pool.frame[table] as number;
    if (frame === NO_FRAME) return true; // made from registers
    const role = keyRole(key);
    const level = keyLevel(key);
    return (role & MODE_MASK) === MODE_32 ? this.#isCurrent32(table, index, frame, key, role, level) : this.#isCurrentWide(table, index, frame, key, role, level);
  }

  #isCurrentWide(table: number, index: number, frame: number, key: number, role: number, level: number): boolean {
    const at = frame * FRAME_BYTES + index * 8;
    const low = this.#memory.read32(at);
    if ((low & (PTE_PRESENT | PTE_ACCESSED)) !== (PTE_PRESENT | PTE_ACCESSED)) return false;
    const high = this.#memory.read32(at + 4);
    if (isReservedWide(level, low, high, this.#walk.reservedHigh(role))) return false;
    const access = narrow(keyAccess(key), low, high);
    const target = wideFrame(low, high);
    if (level === 1) return this.#isLeaf(table, index, target, rightsOf(role, access, (low & PTE_DIRTY) !== 0));
    if ((low & PTE_LARGE) === 0) return this.#leadsTo(table, index, target, tableKey(level - 1, 0, access, role));
    return this.#hasPieces(table, index, target - (target % (level === 2 ? LARGE_FRAMES : HUGE_FRAMES)), directKey(level - 1, level, access, (low & PTE_DIRTY) !== 0, role));
  }
  #isCurrent32(table: number, index: number, frame: number, key: number, role: number, level: number): boolean {
    const whole = keyPart(key) * 512 + index;
    const low = this.#memory.read32(frame * FRAME_BYTES + (level === 2 ? whole >> 1 : whole) * 4);
    if ((low & (PTE_PRESENT | PTE_ACCESSED)) !== (PTE_PRESENT | PTE_ACCESSED)) return false;
    const access = narrow(keyAccess(key), low, 0);
    if (level === 1) return this.#isLeaf(table, index, low >>> 12, rightsOf(role, access, (low & PTE_DIRTY) !== 0));
    if ((low & PTE_LARGE) === 0 || (role & ROLE_PSE) === 0) return this.#leadsTo(table, index, low >>> 12, tableKey(1, whole & 1, access, role));
    if ((low & 0x0020_0000) !== 0) return false;
    return this.#hasPieces(table, index, largeFrame32(low) + (whole & 1) * LARGE_FRAMES, directKey(1, 2, access, (low & PTE_DIRTY) !== 0, role));
  }
  /** Fewer rights than the guest gives are fine. */
  #isLeaf(table: number, index: number, frame: number, rights: number): boolean {
    return this.#pool.frameOf(table, index) === frame && (this.#pool.rightsOf(table, index) & RIGHTS & ~rights) === 0;
  }
  /** As with a leaf: pieces that may not be written are fine, the page having become dirty on another way. */
  #hasPieces(table: number, index: number, frame: number, key: number): boolean {
    return this.#leadsTo(table, index, frame, key) || ((key & KEY_DIRTY) !== 0 && this.#leadsTo(table, index, frame, key & ~KEY_DIRTY));
  }
  #leadsTo(table: number, index: number, frame: number, key: number): boolean {
    const child = this.#pool.child(table, index);
    return this.#pool.frame[child] === frame && this.#pool.key[child] === key;
  }
}
