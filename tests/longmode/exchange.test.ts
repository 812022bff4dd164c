/** What is saved only where the legacy side uses it. */
import type { Exchanged } from '@vm/longmode-switch';
import { type Assembler, createAssembler, debug, MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_SYSENTER_ESP, r32, RAX, RBP, RBX, RCX, RDX, xmm } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { SteppedMonitor } from './stepped-monitor.ts';

/** Leaves nothing of it as it was, each time otherwise: EBP counts. */
const DESTROY: Readonly<Record<Exchanged, (a: Assembler) => void>> = {
  'floating-point': (a) => {
    a.mov(r32(RAX), r32(RBP)).op('fninit').op('fldpi');
    for (let i = 0; i < 8; i++) a.op('movd', xmm(i), r32(RAX));
  },
  breakpoints: (a) => {
    for (const number of [0, 1, 2, 3]) a.mov(r32(RAX), 0x50_0000 + number).add(r32(RAX), r32(RBP)).mov(debug(number), r32(RAX));
    a.mov(r32(RAX), 0x455).mov(debug(7), r32(RAX));
  },
  sysenter: (a) => {
    for (const register of [MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP]) a.mov(r32(RCX), register).mov(r32(RAX), r32(RBP)).xor(r32(RDX), r32(RDX)).wrmsr();
  },
};

function destroyer(what: Exchanged): Uint8Array {
  const a = createAssembler(32, { origin: 0x40_0000 });
  a.label('loop').inc(r32(RBP));
  DESTROY[what](a);
  return a.mov(r32(RAX), 1).mov(r32(RBX), 0x20).int(0x30).jmp('loop').bytes();
}

describe.each(Object.keys(DESTROY) as Exchanged[])('%s', (what) => {
  const run = (exchange: readonly Exchanged[]): SteppedMonitor => {
    const monitor = new SteppedMonitor({ guest: { kind: 'flat', bytes: destroyer(what) }, exchange });
    for (let trip = 0; trip < 3; trip++) {
      monitor.runTo(monitor.image.excursionCode.first);
      monitor.runTo(monitor.image.excursionCode.last);
    }
    return monitor;
  };

  it('is as it was on the 64-bit side, where it is exchanged', () => {
    const { kept, changed } = run([what]);
    expect([kept, changed]).toEqual([3, 0]);
  });

  // Floating point that is not exchanged is none of the guest's, as below.
  if (what !== 'floating-point') {
    it('is not, where it is not', () => {
      expect(run([]).changed).toBeGreaterThan(0);
    });
  }
});

it('floating point without it is a fault of the guest, and the 64-bit side is left as it was', () => {
  const monitor = new SteppedMonitor({ guest: { kind: 'flat', bytes: destroyer('floating-point') } });
  monitor.step(20_000);
  expect([monitor.vector, monitor.count('faulted')]).toEqual([7, 1]);
});
