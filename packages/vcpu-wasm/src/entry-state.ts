export type { EntryState, SegmentState } from '@vm/x86';
