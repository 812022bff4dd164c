import type { BlockBackend } from '@vm/core';

/** A disk that knows what of it is stored; without `extents` all of it is. */
export interface ExportedDisk extends BlockBackend {
  extents?(at: number, bytes: number): Promise<readonly { readonly bytes: number; readonly depth: number | null }[]>;
}

export interface NbdExport {
  /** ASCII. A client that names none gets the first export. */
  readonly name: string;
  readonly disk: ExportedDisk;
}
