import { isFault, planSwitch, SwitchRefusal } from '@vm/longmode-switch';
import type { LegacyFormat } from '@vm/longmode-switch';
import type { Direction, StepName } from '../../packages/longmode-switch/src/step.ts';
import { tryOrder } from '../../packages/longmode-switch/src/switch-orders.ts';
import { runnableSetup, runOrder } from './order-run.ts';

/** By what the processor model says and what the engine does. */
export interface OrderCounts {
  /** Both come to the right state. */
  same: number;
  /** Neither does. */
  wrong: number;
  /** The model knows of a loss (registers not saved, NMIs not held) that does not show in the mode. */
  hidden: number;
  accepted: number;
}

/** Throws at the first order where model and engine, or planner and model, contradict each other. */
export function compareOrders(format: LegacyFormat, direction: Direction, orders: Iterable<readonly StepName[]>): OrderCounts {
  const setup = runnableSetup(format);
  const all = planSwitch(setup, direction, { all: true });
  const goal = JSON.stringify(all.to);
  const right = JSON.stringify(runOrder(setup, direction, all.steps.map(({ name }) => name)));
  if (right === 'null') throw new Error(`${format} ${direction}: the engine does not come through the claimed order`);
  const counts = { same: 0, wrong: 0, hidden: 0, accepted: 0 };
  for (const names of orders) {
    const model = tryOrder(setup, direction, names);
    const modelSame = !isFault(model) && JSON.stringify(model) === goal;
    const engineSame = JSON.stringify(runOrder(setup, direction, names)) === right;
    const accepted = isAccepted(() => planSwitch(setup, direction, { steps: names }));
    const told = `${format} ${direction}: ${names.join(' ')}`;
    if (modelSame && !engineSame) throw new Error(`${told}: right for the model, wrong for the engine`);
    if (accepted && !modelSame) throw new Error(`${told}: the planner lets it pass`);
    if (isFault(model) && engineSame) throw new Error(`${told}: the model says ${model.why}, the engine is right`);
    if (accepted) counts.accepted++;
    if (modelSame) counts.same++;
    else if (engineSame) counts.hidden++;
    else counts.wrong++;
  }
  return counts;
}

function isAccepted(plan: () => unknown): boolean {
  try {
    plan();
    return true;
  } catch (error) {
    if (error instanceof SwitchRefusal) return false;
    throw error;
  }
}

export function* everyNth<T>(values: Iterable<T>, n: number, first: number): Generator<T> {
  let i = 0;
  for (const value of values) if (i++ % n === first) yield value;
}
