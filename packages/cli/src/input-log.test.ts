import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StampedInput } from '@vm/pc';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { basisOf, findDifference, InputRecorder, parseInputLog } from './input-log.ts';

const BASIS = basisOf({ kernel: Uint8Array.of(1), append: 'quiet', memoryBytes: 1 << 20, clock: 'virtual', onReset: 'boot' }, 'at-once', 'vm.term=dumb');

let folder = '';
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-inputs-'))));
afterEach(() => rmSync(folder, { recursive: true }));

it('reads back what it wrote, every byte of it', () => {
  const path = join(folder, 'log');
  const inputs: StampedInput[] = [
    { nanos: 10, instructions: 1, input: { kind: 'type', bytes: Uint8Array.from({ length: 256 }, (_, i) => i) } },
    { nanos: 10, instructions: 1, input: { kind: 'power-button' } },
    { nanos: 2 ** 50, instructions: 2 ** 46, input: { kind: 'reset-button' } },
  ];
  const recorder = new InputRecorder(path, BASIS);
  for (const input of inputs) recorder.add(input);
  recorder.end(2 ** 51, 2 ** 47);
  const text = readFileSync(path, 'utf8');
  expect(parseInputLog(text, path)).toEqual({ basis: BASIS, inputs, end: { nanos: 2 ** 51, instructions: 2 ** 47 } });
  expect(text.split('\n')).toHaveLength(7); // a line an input, whatever was typed
});

it('reads a record that broke off', () => {
  expect(parseInputLog(`vm-inputs 1\nbasis ${JSON.stringify(BASIS)}\n`, 'x')).toEqual({ basis: BASIS, inputs: [], end: null });
});

describe('refuses', () => {
  const head = `vm-inputs 1\nbasis ${JSON.stringify(BASIS)}\n`;
  it.each([
    ['', 'line 1: expected "vm-inputs 1": this is no record of inputs'],
    ['vm-inputs 1\n', 'line 2: expected the basis of the run'],
    ['vm-inputs 1\nbasis 7\n', 'line 2: expected the basis of the run'],
    [`${head}10 1`, 'line 3: expected a time, a count of instructions and an input'],
    [`${head}10 1 hum`, 'line 3: unknown input "hum"'],
    [`${head}10 1 type hum`, 'line 3: unknown input "type hum"'],
    [`${head}10 1 type 5`, 'line 3: unknown input "type 5"'],
    [`${head}10 1 power-button\n9 1 power-button`, 'line 4: it is out of order'],
    [`${head}10 1 end\n11 1 power-button`, 'line 4: it is out of order'],
  ])('%j', (text, why) => {
    expect(() => parseInputLog(text, 'log')).toThrow(`--replay log: ${why}`);
  });

  it('a file that cannot be written', () => {
    expect(() => new InputRecorder(join(folder, 'none', 'log'), BASIS)).toThrow(/^--record .*: there is no such folder$/);
  });
});

it('names what differs', () => {
  expect(findDifference(BASIS, { ...BASIS })).toBe(null);
  expect(findDifference(BASIS, { ...BASIS, append: 'loud' })).toBe('kernel command line');
  expect(findDifference(BASIS, { ...BASIS, kernel: '' })).toBe('kernel');
});
