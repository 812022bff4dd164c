import { describe, expect, it } from 'vitest';
import { firstDifference, parseModule } from './api-report.mjs';

const TEXT = `import type { Plain } from './abi.ts';
export { type Machine, createMachine } from './machine.ts';
export { runFlat } from '@vm/vcpu-wasm/flat';
/** Where time comes from. */
export type ClockKind = {
    readonly kind: 'host';
} | {
    readonly kind: 'virtual';
    /** More than 0. */
    readonly step: number;
};
export declare class Counter {
    #private;
    private constructor();
    read(): number;
}
declare const HIDDEN: Plain;
`;

describe('the report of public interfaces', () => {
  it('has declarations whole, without comments and private parts', () => {
    const { declarations, origins } = parseModule(TEXT, '/out/index.d.ts');
    expect([...declarations.keys()]).toEqual(['ClockKind', 'Counter', 'HIDDEN']);
    expect(declarations.get('ClockKind').text).toBe("type ClockKind = {\n    readonly kind: 'host';\n} | {\n    readonly kind: 'virtual';\n    readonly step: number;\n};");
    expect(declarations.get('Counter').text).toBe('class Counter {\n    read(): number;\n}');
    expect([...origins].map(([name, { path, exported }]) => [name, path, exported])).toEqual([
      ['Plain', '/out/abi.d.ts', false], ['Machine', '/out/machine.d.ts', true], ['createMachine', '/out/machine.d.ts', true], ['runFlat', null, true],
    ]);
  });

  it('shows what is gone and what has come', () => {
    expect(firstDifference('a\nb\nc', 'a\nx\nc')).toBe('- b\n+ x');
  });
});
