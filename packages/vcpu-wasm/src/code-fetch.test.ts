import { describe, expect, it } from 'vitest';
import { runFlat } from './flat-runner.ts';

describe('operands relative to RIP', () => {
  const load = (distance: number): number[] => [0x48, 0x8b, 0x05, distance & 0xff, (distance >> 8) & 0xff, (distance >> 16) & 0xff, (distance >> 24) & 0xff, 0xf4];
  it.each([0x7fff_ffff, 0x7fff_fff0, 0x7fff_f000, 0x7fff_0000, -0x8000_0000, -0x7fff_fff0])('reach as far as the distance says: %i', (distance) => {
    for (const at of [0x8000_1000, 0x8000_1f00, 0x8000_1ff9, 0x8000_1ffc]) {
      const target = at + 7 + distance;
      const { rax } = runFlat({ code: load(distance), at, mode: 'long', memory: [{ at: target, bytes: [1, 2, 3, 4, 5, 6, 7, 8] }] });
      expect(rax).toBe(0x0807_0605_0403_0201n);
    }
  });
});
