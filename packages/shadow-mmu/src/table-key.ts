/**
 * What a shadow table was made for, beside the frame that it was made from: two tables of one frame with the same key hold the
 * same, and so are one table.
 *
 *     16..10 role | 9 dirty | 8 direct | 7..5 access of the levels above | 4..3 part | 2..0 level
 *
 * The part of a direct table is the level of the large page, less 1.
 */
export const KEY_DIRECT: number = 1 << 8;
/** Of direct tables: the large page is dirty, so its pieces may be writable. */
export const KEY_DIRTY: number = 1 << 9;
const PART_SHIFT = 3;
const ACCESS_SHIFT = 5;
const ROLE_SHIFT = 10;

/** `part`: which half or quarter of a table of 32-bit paging. */
export function tableKey(level: number, part: number, access: number, role: number): number {
  return level | (part << PART_SHIFT) | (access << ACCESS_SHIFT) | (role << ROLE_SHIFT);
}
/** A direct table holds pieces of a large page, in order, and depends on no guest table. */
export function directKey(level: number, leaf: number, access: number, dirty: boolean, role: number): number {
  return tableKey(level, leaf - 1, access, role) | (dirty ? KEY_DIRECT | KEY_DIRTY : KEY_DIRECT);
}
export const keyLevel = (key: number): number => key & 7;
export const keyPart = (key: number): number => (key >> PART_SHIFT) & 3;
export const keyAccess = (key: number): number => (key >> ACCESS_SHIFT) & 7;
export const keyRole = (key: number): number => key >> ROLE_SHIFT;
