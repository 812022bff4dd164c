import { UsageError } from './usage-error.ts';

interface SymbolEntry {
  readonly address: bigint;
  readonly name: string;
  readonly code: boolean;
}

const LINE = /^([0-9a-f]{8,16}) ([A-Za-z]) (\S+)/;
const PLACEHOLDER = /The real System\.map is in the (\S+) package/; // what Debian ships with its kernels
const MOST_INSIDE = 1n << 20n; // farther than this behind the last symbol is nothing of the kernel's

/** The symbols of a kernel, as System.map or /proc/kallsyms lists them. */
export class SymbolTable {
  readonly #entries: readonly SymbolEntry[]; // ascending

  private constructor(entries: readonly SymbolEntry[]) {
    this.#entries = entries;
  }

  /** Throws UsageError. */
  static parse(text: string, path: string): SymbolTable {
    const real = PLACEHOLDER.exec(text)?.[1];
    if (real !== undefined) throw new UsageError(`--system-map ${path}: this file only says that the real one is in the package ${real}; /proc/kallsyms of the guest does as well`);
    const entries: SymbolEntry[] = [];
    for (const line of text.split('\n')) {
      const match = LINE.exec(line);
      // Offsets into the area of each processor and absolute values are no places in the kernel.
      if (match !== null && !/^[aA]$/.test(match[2]!)) entries.push({ address: BigInt(`0x${match[1]!}`), name: match[3]!, code: /^[tTwW]$/.test(match[2]!) });
    }
    if (entries.length === 0) throw new UsageError(`--system-map ${path}: it has no lines such as "ffffffff81000000 T _text"`);
    entries.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
    return new SymbolTable(entries);
  }

  addressOf(name: string): bigint | null {
    return this.#entries.find((entry) => entry.name === name)?.address ?? null;
  }

  /** `name+0x12`, or null when the address lies in no function. */
  nameOf(address: bigint): string | null {
    let [low, high] = [0, this.#entries.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#entries[middle]!.address <= address) low = middle + 1;
      else high = middle;
    }
    const entry = this.#entries[low - 1];
    if (entry?.code !== true || low === this.#entries.length || address - entry.address >= MOST_INSIDE) return null;
    const offset = address - entry.address;
    return offset === 0n ? entry.name : `${entry.name}+0x${offset.toString(16)}`;
  }
}
