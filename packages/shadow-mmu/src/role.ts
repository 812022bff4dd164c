/**
 * What decides how guest tables are read, as one number, and what a translation allows, as another.
 *
 * The rights of an entry are kept per kind of access and not as the guest's own bits, so that a lookup is one test with a mask
 * whatever the control registers say. The price is that control registers are part of the key of every table.
 */

// ---- Roles -----------------------------------------------------------------------------------------------------------------

export const MODE_32 = 1; // 32-bit paging
export const MODE_PAE = 2;
export const MODE_LONG = 3; // four levels
export const MODE_MASK = 3;
export const ROLE_WP: number = 1 << 2; // CR0.WP
export const ROLE_NX: number = 1 << 3; // EFER.NXE
export const ROLE_SMEP: number = 1 << 4;
export const ROLE_SMAP: number = 1 << 5;
export const ROLE_PSE: number = 1 << 6; // CR4.PSE, of 32-bit paging
export const ROLE_BITS = 7;

/** Leaves out what has no meaning in the mode, so that equal roles are equal numbers. */
export function normalRole(role: number): number {
  return (role & MODE_MASK) === MODE_32 ? role & ~ROLE_NX : role & ~ROLE_PSE;
}

// ---- Kinds of access, and rights: one bit each -------------------------------------------------------------------------------

export const READ_SUPERVISOR: number = 1 << 0;
export const WRITE_SUPERVISOR: number = 1 << 1;
export const FETCH_SUPERVISOR: number = 1 << 2;
export const READ_USER: number = 1 << 3;
export const WRITE_USER: number = 1 << 4;
export const FETCH_USER: number = 1 << 5;
/** By the supervisor while RFLAGS.AC lifts SMAP. */
export const READ_OPEN: number = 1 << 6;
export const WRITE_OPEN: number = 1 << 7;
export const RIGHTS: number = 0xff;
/** The entry is in the list of writable mappings of its frame. */
export const RIGHT_RECORDED: number = 1 << 8;
/** A piece of a large page: INVLPG anywhere in that page is about this piece too. */
export const RIGHT_LARGE: number = 1 << 9;
/** Of a page of 1 GiB. */
export const RIGHT_HUGE: number = 1 << 10;

export const ANY_WRITE: number = WRITE_SUPERVISOR | WRITE_USER | WRITE_OPEN;
export const ANY_USER: number = READ_USER | WRITE_USER | FETCH_USER;
export const ANY_FETCH: number = FETCH_SUPERVISOR | FETCH_USER;
export const ANY_OPEN: number = READ_OPEN | WRITE_OPEN;

// ---- What the levels above a table leave over --------------------------------------------------------------------------------

export const ACCESS_USER = 1;
export const ACCESS_WRITE = 2;
export const ACCESS_FETCH = 4;
export const ACCESS_ALL = 7;

/** The rights of a page (SDM vol. 3, section 4.6). A page that is not dirty may not be written: the next write has to be seen. */
export function rightsOf(role: number, access: number, dirty: boolean): number {
  const user = (access & ACCESS_USER) !== 0;
  const writable = (access & ACCESS_WRITE) !== 0;
  const fetch = (access & ACCESS_FETCH) !== 0;
  const supervisorWrites = dirty && (writable || (role & ROLE_WP) === 0);
  let rights = READ_OPEN;
  if (supervisorWrites) rights |= WRITE_OPEN;
  if (!user || (role & ROLE_SMAP) === 0) rights |= supervisorWrites ? READ_SUPERVISOR | WRITE_SUPERVISOR : READ_SUPERVISOR;
  if (fetch && (!user || (role & ROLE_SMEP) === 0)) rights |= FETCH_SUPERVISOR;
  if (user) {
    rights |= READ_USER;
    if (writable && dirty) rights |= WRITE_USER;
    if (fetch) rights |= FETCH_USER;
  }
  return rights;
}
