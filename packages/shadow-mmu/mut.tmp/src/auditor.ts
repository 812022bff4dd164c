/** Checks everything that has to hold between two calls. Slow: for tests, and for runs that look for a fault. */
import { FRAME_BYTES, TABLE_ENTRIES } from './layout.ts';
import { ANY_WRITE, RIGHT_RECORDED } from './role.ts';
import type { ShadowMmu } from './shadow-mmu.ts';
import { FRAME_OPEN, FRAME_PROTECTED, FRAME_TRACKED, FRAME_UNTRACKED } from './frame-states.ts';
import { KEY_DIRECT, keyLevel, keyRole } from './table-key.ts';
import { NO_FRAME } from './table-pool.ts';

/** What is wrong, in words; empty: nothing. */
export function auditShadow(mmu: ShadowMmu): string[] {
  const { pool, tracker, spaces } = mmu;
  const problems: string[] = [];
  const say = (text: string): void => { problems.push(text); };
  let used = 0;
  let entries = 0;
  const seen = new Set<string>();
  const recorded = new Map<number, number>();
  const roots = new Map<number, number>();
  for (let space = 0; space < spaces.count; space++) {
    const table = spaces.table[space] as number;
    if (table !== 0) roots.set(table, (roots.get(table) ?? 0) + 1);
  }
  for (let table = 1; table < pool.tables; table++) {
    if (pool.isUsed[table] === 0) {
      if (pool.liveCount[table] !== 0 || pool.isStale(table)) say(`table ${table} is free and not empty`);
      continue;
    }
    used++;
    const key = pool.key[table] as number;
    const frame = pool.frame[table] as number;
    const level = keyLevel(key);
    const isDirect = (key & KEY_DIRECT) !== 0;
    const name = `table ${table} (level ${level} of frame ${frame})`;
    if (frame !== NO_FRAME) {
      if (seen.has(`${frame} ${key}`)) say(`${name} is there twice`);
      seen.add(`${frame} ${key}`);
    }
    if ((pool.rootOf[table] as number) !== (roots.get(table) ?? 0)) say(`${name} is counted as a root ${pool.rootOf[table]} times`);
    const state = frame === NO_FRAME || isDirect ? 0 : tracker.stateOf(frame);
    if (frame !== NO_FRAME && !isDirect) {
      const isSafe = (state & FRAME_PROTECTED) !== 0;
      if (mmu.policy.caches && (state & (FRAME_PROTECTED | FRAME_OPEN | FRAME_UNTRACKED)) === 0 && pool.liveCount[table] !== 0) say(`${name} holds translations and its frame is not watched`);
      if (!isSafe && !pool.isStale(table)) say(`${name} can be written to and is not stale`);
      if (isSafe && pool.isStale(table)) say(`${name} is protected and stale`);
    } else if (pool.isStale(table)) say(`${name} depends on no guest table and is stale`);
    let live = 0;
    for (let index = 0; index < TABLE_ENTRIES; index++) {
      const second = pool.rightsOf(table, index);
      if ((second !== 0) !== pool.isLive(table, index)) say(`${name}, entry ${index}: the bit does not say what is there`);
      if (second === 0) continue;
      live++;
      if (level > 1) {
        if (pool.isUsed[second] === 0) say(`${name}, entry ${index} leads to a table that is free`);
        if (keyLevel(pool.key[second] as number) !== level - 1 || keyRole(pool.key[second] as number) !== keyRole(key)) say(`${name}, entry ${index} leads to a table of another kind`);
        if (![...pool.parentsOf(second)].includes(table * TABLE_ENTRIES + index)) say(`${name}, entry ${index} is unknown to the table that it leads to`);
        if (pool.frameOf(table, index) !== pool.offset(second)) say(`${name}, entry ${index}: offset and number are of two tables`);
      } else {
        const target = pool.frameOf(table, index);
        const targetState = tracker.stateOf(target);
        if ((second & ANY_WRITE) !== 0) {
          if ((targetState & FRAME_PROTECTED) !== 0) say(`${name}, entry ${index} may write to protected frame ${target}`);
          if (mmu.policy.caches && (targetState & FRAME_TRACKED) !== 0 && (second & RIGHT_RECORDED) === 0) say(`${name}, entry ${index} may write to frame ${target} and is not recorded`);
        }
        if ((second & RIGHT_RECORDED) !== 0) recorded.set(target, (recorded.get(target) ?? 0) + 1);
      }
      if (!isDirect && frame !== NO_FRAME && !pool.isStale(table) && !mmu.check.isCurrent(table, index)) say(`${name}, entry ${index} is not stale and not what the guest's table says`);
    }
    if (live !== pool.liveCount[table]) say(`${name} has ${live} entries and counts ${pool.liveCount[table]}`);
    entries += live;
    for (const entry of pool.parentsOf(table)) {
      if (pool.child(Math.floor(entry / TABLE_ENTRIES), entry % TABLE_ENTRIES) !== table) say(`${name} has a parent that does not lead to it`);
    }
  }
  if (used !== pool.used) say(`${used} tables are in use, and ${pool.used} are counted`);
  if (entries !== pool.liveEntries) say(`${entries} entries are live, and ${pool.liveEntries} are counted`);
  for (const [frame, count] of recorded) if (pool.countWriters(frame) !== count) say(`frame ${frame} has ${count} recorded writers, and its list ${pool.countWriters(frame)}`);
  let untracked = 0;
  for (const frame of tracker.untracked()) {
    untracked++;
    if ((tracker.stateOf(frame) & (FRAME_UNTRACKED | FRAME_TRACKED)) !== FRAME_UNTRACKED) say(`frame ${frame} is in the list of untracked ones and is not`);
  }
  if (untracked !== tracker.untrackedCount) say('the list of untracked frames is not as long as it says');
  for (const [index, p] of mmu.processors.entries()) {
    if (p.space < 0) continue;
    if (p.space >= spaces.count) say(`processor ${index} uses a space that is gone`);
    const root = spaces.table[p.space] as number;
    if (root !== 0 && keyRole(pool.key[root] as number) !== p.role) say(`processor ${index} uses tables of another role`);
    if (root !== 0 && pool.frame[root] !== NO_FRAME && (pool.frame[root] as number) * FRAME_BYTES !== (p.roots[0] as number) * FRAME_BYTES) say(`processor ${index} uses another root`);
  }
  return problems;
}
