export { auditShadow } from './auditor.ts';
export { ShadowCounters } from './counters.ts';
export {
  ENTRY_BYTES, ENTRY_RIGHTS, HEADER_BYTES, MAX_PROCESSORS, PROCESSOR_BLOCK_BYTES, PROCESSOR_LEVELS, PROCESSOR_ROOT, PROCESSOR_TAG, TABLE_BYTES, TABLE_ENTRIES,
} from './layout.ts';
export { type FirstLevel, noFirstLevel, type TableMemory } from './ports.ts';
export type { ShadowPolicyName } from './purge-policy.ts';
export {
  FETCH_SUPERVISOR, FETCH_USER, MODE_32, MODE_LONG, MODE_PAE, READ_OPEN, READ_SUPERVISOR, READ_USER, RIGHT_HUGE, RIGHT_LARGE, RIGHTS, ROLE_NX, ROLE_PSE, ROLE_SMAP, ROLE_SMEP, ROLE_WP,
  WRITE_OPEN, WRITE_SUPERVISOR, WRITE_USER,
} from './role.ts';
export { ShadowMmu, type ShadowMmuOptions, shadowBytes, type ShadowPlace } from './shadow-mmu.ts';
export { ShadowProcessor } from './shadow-processor.ts';
export type { Discovery, TrackerStep } from './tracker.ts';
