import { expect, it } from 'vitest';
import type { ApicBus } from './apic-bus.ts';
import { isMsiAddress, sendMsi } from './msi.ts';

function sent(address: number, data: number): unknown {
  const calls: unknown[] = [];
  const bus = { send: (destination: number, command: number) => calls.push([destination, command]) } as unknown as ApicBus;
  sendMsi(bus, address, data);
  return calls[0] ?? null;
}

it('takes destination and mode from the address and the vector from the data', () => {
  expect(sent(0xfee0_3000, 0x4041)).toEqual([3, 0x4041]);
  expect(sent(0xfeef_f000, 0x0041)).toEqual([0xffff_ffff, 0x41]);
  expect(sent(0xfee0_3004, 0x0041)).toEqual([3, 0x841]);
  expect(sent(0xfee0_0000, 0x0400)).toEqual([0, 0x400]);
});

it('turns a redirectable logical message into a lowest-priority one', () => {
  expect(sent(0xfee0_300c, 0x0041)).toEqual([3, 0x941]);
  expect(sent(0xfee0_3008, 0x0041)).toEqual([3, 0x41]);
});

it('knows its addresses', () => {
  expect(sent(0xfec0_0000, 0x41)).toBe(null);
  expect(sent(0x1_fee0_0000, 0x41)).toBe(null);
  expect([0xfedf_ffff, 0xfee0_0000, 0xfeef_ffff, 0xfef0_0000].map(isMsiAddress)).toEqual([false, true, true, false]);
});
