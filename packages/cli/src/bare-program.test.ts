import { bench } from '@vm/testkit';
import { expect, it } from 'vitest';
import { BareRun } from './bare-program.ts';
import type { SessionEnd } from './session-end.ts';

function make(passByte = 0xff, charPort: number | null = null) {
  const ends: SessionEnd[] = [];
  const told: string[] = [];
  const run = new BareRun({ postPorts: [0x80, 0x190], charPort, passByte }, (end) => ends.push(end), (text) => told.push(text));
  const [tests, ...posts] = run.devices().map((spec) => bench(spec as never, undefined as never));
  return { run, ends, told, tests: tests!, posts };
}

it('ends with the number at the exit port, which stands for itself or is too large', () => {
  const { ends, tests } = make();
  for (const code of [0, 63, 255, 256, 0xffff_ffff]) tests.out(0xf4, code, 4);
  tests.out(0xf4, 38);
  expect(ends.map(({ code, text }) => [code, text])).toEqual([
    [0, null], [63, null], [255, null], [255, 'the guest ended with 256, which is no exit code'], [255, 'the guest ended with 4294967295, which is no exit code'], [38, null],
  ]);
});

it('ends well with the word at port 0x8900', () => {
  const { ends, tests } = make();
  for (const letter of 'Shutdown') tests.out(0x8900, letter.charCodeAt(0));
  expect(ends).toEqual([{ code: 0, text: null }]);
});

it('ends at the last HLT with what the last byte of progress says', () => {
  const { run, ends, told, posts } = make(11);
  run.haltedForGood();
  posts[0]!.out(0x80, 0xff);
  run.haltedForGood();
  posts[1]!.out(0x190, 11);
  run.haltedForGood();
  const text = 'the processor has halted for good, with interrupts off';
  expect(ends).toEqual([
    { code: 3, crash: true, text },
    { code: 3, crash: true, text: `${text}; the last byte of progress is ff` },
    { code: 0, crash: true, text: `${text}; the last byte of progress is 0b, which says that all went well` },
  ]);
  expect(told).toEqual(['progress ff', 'progress 0b']);
});

it('makes room for a port of text among those of the test devices', () => {
  expect([make().tests.in(0xe9), make(0xff, 0xe9).tests.in(0xe9), make(0xff, 0x402).tests.in(0xe9)]).toEqual([0, 0xff, 0]);
});
