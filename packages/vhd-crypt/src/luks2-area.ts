import type { Luks2Metadata } from './luks2-metadata.ts';

/** As much of a header as tells what is where. */
export interface AreaHeader {
  readonly metadata: Luks2Metadata;
  readonly copy: { readonly bytes: number };
}

/** Room for the material of a slot where no other has its own; null when there is none. */
export function freeArea({ copy, metadata }: AreaHeader, bytes: number): number | null {
  const end = 2 * copy.bytes + Number(metadata.config.keyslots_size);
  const areas = Object.values(metadata.keyslots).map(({ area }) => ({ begin: Number(area.offset), end: Number(area.offset) + Number(area.size) })).sort((a, b) => a.begin - b.begin);
  let at = 2 * copy.bytes;
  for (const area of areas) {
    if (area.begin - at >= bytes) break;
    at = Math.max(at, Math.ceil(area.end / 4096) * 4096);
  }
  return at + bytes <= end ? at : null;
}
