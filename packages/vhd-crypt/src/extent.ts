import type { BlockBackend } from '@vm/core';

/** Part of a disk whose bytes come from one place. */
export interface Extent {
  readonly at: number;
  readonly bytes: number;
  /** 0: the image itself, 1: its parent, and so on; null: nowhere, it reads as zeros. */
  readonly depth: number | null;
}

/** A disk that knows what of it is stored. */
export interface MappedDisk extends BlockBackend {
  /** A store makes room for as many bytes as this, which then hold zeros; null: for just what is stored, or room is there for all. */
  readonly allocationBytes: number | null;
  /** Covers the range without gaps, in order. */
  extents(at: number, bytes: number): Promise<readonly Extent[]>;
}

/** Adds an extent, or makes the last one longer. */
export function pushExtent(list: Extent[], next: Extent): void {
  const last = list.at(-1);
  if (last !== undefined && last.depth === next.depth && last.at + last.bytes === next.at) list[list.length - 1] = { ...last, bytes: last.bytes + next.bytes };
  else list.push(next);
}
