export { adaptivePolicy } from './adaptive-policy.ts';
export type { Weights } from './adaptive-policy.ts';
export { ENDED_BACK, ENDED_BUDGET, ENDED_COUNT, ENDED_EVENT, ENDED_INSTRUCTION, ENDED_TRAP } from './executor.ts';
export type { Ending, Executor } from './executor.ts';
export { HandoffList } from './handoff-list.ts';
export { COMPOUND_POLICIES, fixedPolicy, HANDOFFS } from './policy.ts';
export type { BlockOutcome, CompoundPolicy, CompoundPolicyName, Handoff, Limits } from './policy.ts';
export { TrapCompound } from './trap-compound.ts';
export type { CompoundOptions } from './trap-compound.ts';
