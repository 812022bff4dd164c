import { bench } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { postPort } from './post-port.ts';
import { testdev } from './testdev.ts';

function make(pins?: readonly number[]) {
  const codes: number[] = [];
  const ends: string[] = [];
  const t = bench(testdev, { exit: (code) => codes.push(code), shutdown: () => ends.push('shutdown'), ...(pins === undefined ? {} : { pins }) });
  return { t, codes, ends };
}

describe('testdev', () => {
  it('ends with the code written to 0xf4 in 1, 2 or 4 bytes', () => {
    const { t, codes } = make();
    t.out(0xf4, 63);
    t.out(0xf4, 0x1234, 2);
    t.out(0xf4, 0xdead_beef, 4);
    expect([codes, t.in(0xf4)]).toEqual([[63, 0x1234, 0xdead_beef], 0]);
  });

  it('echoes at 0xe0 in every width, and at 0xe8 in bytes', () => {
    const { t } = make();
    t.out(0xe0, 0x8765_4321, 4);
    expect([t.in(0xe0, 4), t.in(0xe0, 2), t.in(0xe2, 2), t.in(0xe1), t.in(0xe3)]).toEqual([0x8765_4321, 0x4321, 0x8765, 0x43, 0x87]);
    t.out(0xe1, 0xaa);
    t.out(0xe2, 0xf00d, 2);
    expect([t.in(0xe0, 4), t.in(0xe8, 4), t.in(0xea, 2), t.in(0xeb)]).toEqual([0xf00d_aa21, 0xf00d_aa21, 0xf00d, 0xf0]);
    t.out(0xe8, 0x0102_0304, 4);
    expect(t.in(0xe0, 4)).toBe(0x0102_0304);
    t.out(0xe4, 0x40_0000, 4); // nothing to see
    expect(t.in(0xe0, 4)).toBe(0x0102_0304);
  });

  it('leaves ports 0xe8 to 0xeb to others when told to', () => {
    const t = bench(testdev, { exit: () => {}, shutdown: () => {}, echoBytes: false });
    t.out(0xe0, 1, 4);
    expect([t.in(0xe0, 4), t.in(0xe8, 4)]).toEqual([1, 0xffff_ffff]);
  });

  it('sets interrupt lines in every width, one for each port', () => {
    const { t } = make();
    const high = () => Array.from({ length: 24 }, (_, pin) => pin).filter((pin) => t.line(pin));
    t.out(0x2005, 1, 4);
    t.out(0x2017, 0xff, 4);
    t.out(0x200e, 1, 2);
    t.out(0x200d, 1);
    expect(high()).toEqual([5, 13, 14, 23]);
    t.out(0x200e, 2, 4); // only bit 0 counts
    t.out(0x2018, 1);
    expect(high()).toEqual([5, 13, 23]);
    t.reset();
    expect(high()).toEqual([]);
  });

  it('drives the pins that it is told', () => {
    const { t } = make([30, 31]);
    t.out(0x2001, 1, 4);
    t.out(0x2002, 1, 4);
    expect([t.line(1), t.line(31), t.line(2)]).toEqual([false, true, true]);
  });

  it('has registers for 64 KiB at 0xff000000 that keep what is written', () => {
    const { t } = make();
    t.writeMmio(0xff00_0000, 0x8765_4321);
    t.writeMmio(0xff00_0002, 0xabcd, 2);
    t.writeMmio(0xff00_fffc, 0x1122_3344);
    t.writeMmio(0xff00_ffff, 0x99, 1);
    expect([t.readMmio(0xff00_0000), t.readMmio(0xff00_0001, 2), t.readMmio(0xff00_fffc), t.readMmio(0xff00_fffd, 1), t.readMmio(0xff01_0000)])
      .toEqual([0xabcd_4321, 0xcd43, 0x9922_3344, 0x33, 0xffff_ffff]);
  });

  it('takes the word "Shutdown" at port 0x8900, and no other', () => {
    const { t, ends } = make();
    const say = (text: string): void => {
      for (const letter of text) t.out(0x8900, letter.charCodeAt(0));
    };
    say('Shut down');
    say('Shutdow');
    expect(ends).toEqual([]);
    say('SShutdown');
    expect(ends).toEqual(['shutdown']);
  });

  it('saves and loads everything', () => {
    const { t } = make();
    t.out(0xe0, 0x1234_5678, 4);
    t.out(0x2003, 1, 4);
    t.writeMmio(0xff00_1000, 7);
    const state = t.save();
    t.out(0xe0, 0, 4);
    const other = t.restore(state);
    expect([other.in(0xe0, 4), other.line(3), other.readMmio(0xff00_1000), other.save()]).toEqual([0x1234_5678, true, 7, state]);
    for (const bad of [null, 1, {}, { ...(state as object), levels: [true] }, { ...(state as object), memory: new Uint8Array(3) }]) {
      expect(() => t.restore(bad as never)).toThrow(TypeError);
    }
  });
});

describe('a port of progress', () => {
  it.each([[undefined, 0x80], [0x190, 0x190]])('configured with %s shows bytes at %i and gives them back', (port, at) => {
    const shown: number[] = [];
    const t = bench(postPort, { progress: (byte) => shown.push(byte), ...(port === undefined ? {} : { port }) });
    t.out(at, 0x42);
    t.out(at, 0x1ff, 2);
    expect([shown, t.in(at), t.restore(t.save()).in(at)]).toEqual([[0x42, 0xff], 0xff, 0xff]);
    expect(() => t.restore('x')).toThrow(TypeError);
    t.reset();
    expect(t.in(at)).toBe(0);
  });
});
