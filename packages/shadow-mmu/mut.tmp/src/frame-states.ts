/**
 * What is known of each frame of guest memory: one byte.
 *
 *   unknown --walked--> untracked --everything purged--> tracked
 *   tracked --walked--> tracked, protected --store--> tracked, open --purge--> tracked, protected
 *                                          '--store, nothing cached--> tracked
 */

/** It was met as a page table, before its writable mappings were known. */
export const FRAME_UNTRACKED = 1;
/** All its writable mappings are recorded. */
export const FRAME_TRACKED = 2;
/** Tracked, and there are none. */
export const FRAME_PROTECTED = 4;
/** Tracked, in use as a table, and has been written to, or may be: what was made from it is stale. */
export const FRAME_OPEN = 8;
/** A processor may hold a writable translation of it. */
export const FRAME_WRITABLE = 16;
/** For the length of one purge. */
export const FRAME_COLLECTED = 32;
