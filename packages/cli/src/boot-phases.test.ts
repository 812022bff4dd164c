import { expect, it } from 'vitest';
import { BootPhases } from './boot-phases.ts';

it('tells what lies between the moments of a boot', () => {
  const phases = new BootPhases({ atMs: 100, instructions: 0, nanos: 0 });
  phases.end('to the first output', { atMs: 350, instructions: 1000, nanos: 5e6 });
  phases.end('to the prompt', { atMs: 400, instructions: 1500, nanos: 6e6 });
  const now = { atMs: 410, instructions: 1501, nanos: 6e6 };
  const expected = [
    { name: 'to the first output', ms: 250, instructions: 1000, machineMs: 5 },
    { name: 'to the prompt', ms: 50, instructions: 500, machineMs: 1 },
    { name: 'since then', ms: 10, instructions: 1, machineMs: 0 },
  ];
  expect(phases.list(now)).toEqual(expected);
  expect(phases.list(now)).toEqual(expected); // looking changes nothing
});
