export interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectorsPerTrack: number;
}

/** Says "too large for a geometry"; readers that know the sign take the size in bytes. */
export const MAX_GEOMETRY: Geometry = { cylinders: 65535, heads: 16, sectorsPerTrack: 255 };

export function geometryBytes({ cylinders, heads, sectorsPerTrack }: Geometry): number {
  return cylinders * heads * sectorsPerTrack * 512;
}

/** VHD specification, appendix "CHS Calculation". What it gives is never larger than the disk. */
export function geometryOf(sectors: number): Geometry {
  const total = Math.min(sectors, 65535 * 16 * 255);
  let heads = 16;
  let sectorsPerTrack = 255;
  if (total < 65535 * 16 * 63) {
    sectorsPerTrack = 17;
    let tracks = Math.floor(total / 17);
    heads = Math.max(4, Math.ceil(tracks / 1024));
    if (tracks >= heads * 1024 || heads > 16) {
      sectorsPerTrack = 31;
      heads = 16;
      tracks = Math.floor(total / 31);
    }
    if (tracks >= heads * 1024) {
      sectorsPerTrack = 63;
      heads = 16;
    }
  }
  return { cylinders: Math.floor(Math.floor(total / sectorsPerTrack) / heads), heads, sectorsPerTrack };
}

/** The smallest size from `bytes` on that a geometry can express; null when there is none. */
export function roundUpToGeometry(bytes: number): number | null {
  if (bytes > geometryBytes(MAX_GEOMETRY)) return null;
  // A track more a step: the rounding of one cylinder is all there is to find, so this ends within a cylinder or two.
  for (let sectors = Math.ceil(bytes / 512); ; sectors++) {
    const found = geometryBytes(geometryOf(sectors));
    if (found >= bytes) return found;
  }
}

/** Which of its two sizes an image means. */
export type SizeRule = 'geometry' | 'bytes';

const BY_GEOMETRY = ['vpc ', 'vs  ', 'qemu'];

/** Virtual PC and the QEMU that copies it go by the geometry, all others by the number of bytes. */
export function sizeRule(creator: string, geometry: Geometry): SizeRule {
  if (geometryBytes(geometry) === geometryBytes(MAX_GEOMETRY) || geometryBytes(geometry) === 0) return 'bytes';
  return BY_GEOMETRY.includes(creator) ? 'geometry' : 'bytes';
}
