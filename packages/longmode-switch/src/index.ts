export { buildBootDisk } from './monitor/boot-disk.ts';
export { buildMonitor, type MonitorImage } from './monitor/monitor-image.ts';
export type { ExcursionPolicy, LegacyGuest, MonitorOptions } from './monitor/monitor-options.ts';
export { allSteps, type Condition, type Direction, type Step, type StepName } from './step.ts';
export type { Operation } from './operation.ts';
export { type Dropped, type Order, type Plan, type PlanOptions, planSwitch } from './planner.ts';
export { execute, type Fault, isFault, type LegacyFormat, type Owner, type ProcessorState, type World } from './processor-model.ts';
export { type RefusalCode, SwitchRefusal } from './refusal.ts';
export { checkSetup, type MemoryRange, stateOf, type SwitchSetup } from './switch-setup.ts';
