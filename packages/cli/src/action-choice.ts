import { findNearest } from './nearest-word.ts';
import { UsageError } from './usage-error.ts';

/** One of the things that a command does, named by its first operand. */
export interface ActionShape {
  readonly operands: readonly string[];
  /** Names of the options that go with it, of all that the command has. */
  readonly options: readonly string[];
}

/** The action that the operands name, with its own operands. Throws UsageError for another name, another number of operands, or an option of another action. */
export function chooseAction<A extends ActionShape>(actions: Readonly<Record<string, A>>, [name = '', ...operands]: readonly string[], values: object): { readonly action: A; readonly operands: readonly string[] } {
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
  if (action === undefined) {
    const nearest = findNearest(name, Object.keys(actions));
    throw new UsageError(`expected ${Object.keys(actions).join(', ')}${name === '' ? '' : `; got ${name}`}${nearest === null ? '' : `; did you mean ${nearest}?`}`);
  }
  if (operands.length !== action.operands.length) throw new UsageError(`${name} takes ${action.operands.join(' and ')}${operands.length === 0 ? '' : `, got ${operands.join(' ')}`}`);
  for (const given of Object.keys(values)) if (!action.options.includes(given)) throw new UsageError(`--${given} does not go with ${name}`);
  return { action, operands };
}

/** The lines of a help text that list the actions. */
export function listActions(command: string, actions: Readonly<Record<string, ActionShape>>): string {
  const lines = Object.entries(actions).map(([name, { operands, options }]) => [`  ${name} ${operands.join(' ')}`, options.map((option) => `--${option}`).join(' ')] as const);
  const width = Math.max(...lines.map(([left]) => left.length)) + 2;
  return [`vm ${command} ACTION OPERAND...`, ...lines.map(([left, right]) => (left.padEnd(width) + right).trimEnd())].join('\n');
}
