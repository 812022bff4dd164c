import { expect, it } from 'vitest';
import { traceLifecycle } from './lifecycle-trace.ts';

it('writes phases, and hooks with their times', () => {
  const lines: string[] = [];
  const trace = traceLifecycle((line) => lines.push(line));
  trace('powering-up', null, 0);
  trace('powerUp', 'com1', 1_234);
  trace('powerUp', 'ide', 12_345_678);
  expect(lines).toEqual(['vm: trace: powering-up', 'vm: trace:   com1.powerUp 1.2 µs', 'vm: trace:   ide.powerUp 12.3 ms']);
});
