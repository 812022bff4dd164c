/** What is counted, for one set of tables and all processors that use it. */
export class ShadowCounters {
  /** Lookups that the tables answered. */
  hits = 0;
  /** Walks of the guest's tables, with those that were begun again. */
  guestWalks = 0;
  /** Walks that ended in a page fault of the guest. */
  faults = 0;
  /** Translations put into tables; of these, pieces of large pages (512 at once, where they are kept, counted as one). */
  fills = 0;
  largeFills = 0;
  /** Translations that could not be kept. */
  uncached = 0;
  /** First stores to a protected page table. */
  intercepts = 0;
  /** Of these, to pages that were not used as tables any more. */
  retired = 0;
  /** Stores by devices and emulated ones, announced. */
  announced = 0;
  /** Tables marked stale. */
  stale = 0;
  // Purges, by what made them.
  switches = 0;
  flushes = 0;
  /** Tables purged because one more entry led to them. */
  links = 0;
  pages = 0;
  /** Purges of everything: at the threshold, for want of room, by the policy that keeps nothing. */
  thresholdPurges = 0;
  pressurePurges = 0;
  wholePurges = 0;
  /** Tables looked at in purges, and entries dropped and kept. */
  purgedTables = 0;
  dropped = 0;
  kept = 0;
  /** Page tables met for the first time. */
  discovered = 0;
  /** Searches for the writable mappings of a frame in a list of all of them. */
  searches = 0;
  /** Frames that became protected, writable mappings that lost their right for it. */
  protections = 0;
  stripped = 0;
  /** Existing tables that one more entry leads to. */
  shares = 0;
  spaces = 0;
  evictedSpaces = 0;
  evictedTables = 0;

  *counts(): Generator<readonly [name: string, count: number]> {
    for (const name of Object.keys(this)) yield [name, this[name as keyof this] as number];
  }
}
