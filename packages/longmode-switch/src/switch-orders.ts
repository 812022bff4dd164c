/** Orders of steps to be tried: what a planner refuses, and what a processor makes of them. */
import { execute, type Fault, isFault, type ProcessorState } from './processor-model.ts';
import { allSteps, type Direction, type Step, type StepName } from './step.ts';
import { stateOf, type SwitchSetup } from './switch-setup.ts';

/** All orders of the seven steps of the method; the others stay in their places. */
export function* claimedOrders(setup: SwitchSetup, direction: Direction): Generator<readonly StepName[]> {
  const steps = allSteps(setup, direction);
  const claimed = steps.filter((step) => step.claimed > 0);
  for (const order of permutations(claimed)) {
    let next = 0;
    yield steps.map((step) => (step.claimed > 0 ? order[next++]! : step).name);
  }
}

function* permutations<T>(values: readonly T[]): Generator<readonly T[]> {
  if (values.length === 0) yield values;
  for (const [i, value] of values.entries()) for (const rest of permutations(values.toSpliced(i, 1))) yield [value, ...rest];
}

/** Every list with one step missing, and every list with two neighbours exchanged. */
export function* smallMutations(setup: SwitchSetup, direction: Direction): Generator<readonly StepName[]> {
  const names = allSteps(setup, direction).map(({ name }) => name);
  for (const i of names.keys()) yield names.toSpliced(i, 1);
  for (let i = 1; i < names.length; i++) yield names.with(i - 1, names[i]!).with(i, names[i - 1]!);
}

/** What the processor model makes of an order, whatever the planner thinks. */
export function tryOrder(setup: SwitchSetup, direction: Direction, names: readonly StepName[]): ProcessorState | Fault {
  const steps = allSteps(setup, direction);
  let state = stateOf(setup, direction === 'to-legacy' ? 'host' : 'legacy');
  for (const name of names) {
    for (const operation of (steps.find((step) => step.name === name) as Step).does) {
      const after = execute(state, operation, setup.legacy.format);
      if (isFault(after)) return after;
      state = after;
    }
  }
  return state;
}
