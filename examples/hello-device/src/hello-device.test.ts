import { bench } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { helloDevice } from './hello-device.ts';

function create(): { readonly t: ReturnType<typeof bench>; readonly lines: string[]; say(text: string): void } {
  const lines: string[] = [];
  const t = bench(helloDevice, { base: 0x500, pin: 5, greet: (line) => lines.push(line) });
  return { t, lines, say: (text) => { for (const char of text) t.out(0x500, char.charCodeAt(0)); } };
}

describe('helloDevice', () => {
  it('hands over a line at its end, and holds its pin until the answer is read', () => {
    const { t, lines, say } = create();
    say('hi');
    expect([lines, t.line(5)]).toEqual([[], false]);
    say('\n');
    expect([lines, t.line(5), t.in(0x501), t.line(5)]).toEqual([['hi'], true, 1, false]);
  });

  it('keeps 80 characters of a line that does not end', () => {
    const { lines, say } = create();
    say(`${'x'.repeat(1000)}\n`);
    expect(lines).toEqual(['x'.repeat(80)]);
  });

  it('forgets a line that was begun when it is reset', () => {
    const { t, lines, say } = create();
    say('half');
    t.reset();
    say('whole\n');
    expect(lines).toEqual(['whole']);
  });

  it('goes on after a restore where it was, and its pin is as it was', () => {
    const { t, say } = create();
    say('one\nha');
    const other = t.restore(t.save());
    expect([other.line(5), other.in(0x501), other.line(5)]).toEqual([true, 1, false]);
    expect(other.save()).toEqual({ line: 'ha', answer: 1, waiting: false });
  });

  it('refuses a state that it did not write', () => {
    const { t } = create();
    for (const state of [{}, { line: 1, answer: 0, waiting: false }, { line: '', answer: '0', waiting: false }]) expect(() => t.device.load!(state, 1)).toThrow(TypeError);
  });
});
