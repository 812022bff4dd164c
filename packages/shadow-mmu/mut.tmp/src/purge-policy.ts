/** What is done with shadow tables at the points where a processor has to forget: one interface, three answers. */
import type { ShadowCounters } from './counters.ts';
import type { EntryCheck } from './entry-check.ts';
import { TABLE_ENTRIES } from './layout.ts';
import type { TablePool } from './table-pool.ts';

export type ShadowPolicyName = 'flush' | 'cached' | 'diff';

export interface PurgePolicy {
  readonly name: ShadowPolicyName;
  /** Page tables are watched, and tables outlive the switch to another address space. */
  readonly caches: boolean;
  /** Makes a stale table right, and says how many entries were lost. */
  purge(table: number): number;
}

export interface PolicyParts { readonly pool: TablePool; readonly check: EntryCheck; readonly counters: ShadowCounters }

/** Everything goes each time: what a shadow MMU does that knows nothing. */
const flushPolicy = ({ pool }: PolicyParts): PurgePolicy => ({ name: 'flush', caches: false, purge: (table) => pool.clear(table) });

/** A stale table is emptied. */
const cachedPolicy = ({ pool, counters }: PolicyParts): PurgePolicy => ({
  name: 'cached',
  caches: true,
  purge: (table) => {
    const lost = pool.clear(table);
    counters.dropped += lost;
    return lost;
  },
});

/** A stale table is compared with the guest's, entry by entry, and keeps what is still so. */
const diffPolicy = ({ pool, check, counters }: PolicyParts): PurgePolicy => ({
  name: 'diff',
  caches: true,
  purge: (table) => {
    let lost = 0;
    for (let index = pool.nextLive(table, 0); index < TABLE_ENTRIES; index = pool.nextLive(table, index + 1)) {
      if (check.isCurrent(table, index)) counters.kept++;
      else {
        pool.drop(table, index);
        lost++;
      }
    }
    counters.dropped += lost;
    return lost;
  },
});

const POLICIES: Readonly<Record<ShadowPolicyName, (parts: PolicyParts) => PurgePolicy>> = { flush: flushPolicy, cached: cachedPolicy, diff: diffPolicy };

export const createPolicy = (name: ShadowPolicyName, parts: PolicyParts): PurgePolicy => POLICIES[name](parts);
