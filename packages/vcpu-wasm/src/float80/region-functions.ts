/** The x87 functions that translated regions call: the interpreter's module exports them under these names, a region's imports them. */
import type { Signature } from '../wasm/module-writer.ts';
import { ModuleWriter } from '../wasm/module-writer.ts';
import type { BuiltFunction } from './function-builder.ts';
import { OPERATIONS } from './register-stack.ts';
import { declareX87 } from './x87-functions.ts';
import type { X87Functions } from './x87-functions.ts';

const STACK = ['signal', 'push', 'pushCopy', 'pushLoaded', 'exchange', 'copyTo', 'compareRegisters', 'compareSource'] as const;
const CONVERSION = ['fromSingle', 'fromDouble', 'fromInteger', 'toSingle', 'toDouble', 'toInteger'] as const;
const TOP = ['squareRoot', 'roundToInteger', 'changeSign', 'absolute', 'test', 'examine', 'copyFrom'] as const;

/** The same functions with other numbers; those that no region calls have none. */
function renumbered(x87: X87Functions, number: (name: string, of: BuiltFunction) => number): X87Functions {
  const pick = <K extends string, T extends Readonly<Record<K, BuiltFunction>>>(group: string, names: readonly K[], from: T): T => (
    Object.fromEntries(names.map((name) => [name, { ...from[name], index: number(`x87.${group}.${name}`, from[name]) }])) as unknown as T
  );
  const { arithmetic, conversion, comparison, stack, environment, top, transcendental } = x87;
  const operations = Object.fromEntries(OPERATIONS.map((operation) => [operation, pick(operation, ['registers', 'source'], stack.operations[operation])]));
  return {
    arithmetic, comparison, transcendental,
    conversion: pick('conversion', CONVERSION, conversion),
    stack: { ...pick('stack', STACK, stack), operations: operations as unknown as typeof stack.operations },
    environment: pick('environment', ['setControl'], environment as typeof environment & Readonly<Record<'setControl', BuiltFunction>>),
    top: pick('top', TOP, top),
  };
}

/** Declares all of them as imports, in the same order in every module. */
export function importX87(declare: (name: string, signature: Signature) => number): X87Functions {
  return renumbered(declareX87(new ModuleWriter({ minimumPages: 1, maximumPages: 1, shared: false })), (name, of) => declare(name, of));
}
/** Exports them from the module in which they were declared. */
export function exportX87(x87: X87Functions, module: ModuleWriter): void {
  renumbered(x87, (name, { index }) => {
    module.export(index, name);
    return index;
  });
}
