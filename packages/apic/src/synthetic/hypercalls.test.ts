import { createVirtualClock, type VirtualClock } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { CALL_PAGE, INPUT, type ModelPartition, modelPartition, SIEFP } from './model-partition.ts';
import * as spec from './spec.ts';

type Words = readonly [low: number, high: number];
const FAST = 0x1_0000;
const setup = (processors = 1) => modelPartition(createVirtualClock(), { processors });
/** A call whose parameters are words in memory. */
function withInput({ words, call }: Pick<ModelPartition<VirtualClock>, 'words' | 'call'>, code: number, input: readonly number[], high = 0): Words {
  words.write(INPUT, new Uint8Array(Uint32Array.from(input).buffer));
  return call([code, high], [INPUT, 0]);
}
const vectorsOf = (t: ReturnType<typeof setup>): number[][] => t.processors.map((one) => one.drain());

describe('a call', () => {
  it('is an invalid instruction but at privilege level 0 of protected mode, and before the guest has said who it is (IRQ-131)', () => {
    const { fabric: { apics }, processors: [one] } = setup();
    const registers = new Uint32Array(32);
    const { hypervisor } = apics[0]!;
    for (const [privilege, mode, taken] of [[0, 64, true], [0, 32, true], [3, 64, false], [3, 32, false], [1, 32, false], [0, 16, false]] as const) expect(hypervisor!.call(registers, privilege, mode)).toBe(taken);
    one!.set(spec.MSR_GUEST_OS_ID, 0);
    expect(hypervisor!.call(registers, 0, 64)).toBe(false);
  });

  it('has a page only for a guest that has said who it is, where there is memory (IRQ-132)', () => {
    const { processors: [one], memory } = setup();
    const { set, get } = one!;
    const page = new Uint8Array(memory.buffer, CALL_PAGE, 4096);
    set(spec.MSR_GUEST_OS_ID, 0);
    expect([set(spec.MSR_HYPERCALL, CALL_PAGE | 1), get(spec.MSR_HYPERCALL), page[0]]).toEqual([true, [CALL_PAGE, 0], 0]);
    set(spec.MSR_GUEST_OS_ID, 1);
    expect(set(spec.MSR_HYPERCALL, 0xf000_0001)).toBe(false);
    expect([set(spec.MSR_HYPERCALL, CALL_PAGE | 1), get(spec.MSR_HYPERCALL), [...page.subarray(0, 6)], page[4095]]).toEqual([true, [CALL_PAGE | 1, 0], [0x0f, 0x01, 0xc1, 0xc3, 0xcc, 0xcc], 0xcc]);
  });

  it('loses its page when the guest takes its name back (IRQ-133)', () => {
    const { processors: [one] } = setup();
    one!.set(spec.MSR_HYPERCALL, CALL_PAGE | 1);
    one!.set(spec.MSR_GUEST_OS_ID, 0);
    expect(one!.get(spec.MSR_HYPERCALL)).toEqual([CALL_PAGE, 0]);
    one!.set(spec.MSR_GUEST_OS_ID, 1);
    expect(one!.get(spec.MSR_HYPERCALL)).toEqual([CALL_PAGE, 0]); // it is for the guest to ask for it again
  });

  it('keeps its page once that is locked, until a reset (IRQ-134)', () => {
    const { processors: [one], fabric } = setup();
    const { set, get } = one!;
    expect(set(spec.MSR_HYPERCALL, CALL_PAGE | 3)).toBe(true);
    expect([set(spec.MSR_HYPERCALL, 0), set(spec.MSR_HYPERCALL, (CALL_PAGE - 0x1000) | 1), get(spec.MSR_HYPERCALL)]).toEqual([false, false, [CALL_PAGE | 3, 0]]);
    fabric.reset();
    expect(get(spec.MSR_HYPERCALL)).toEqual([0, 0]);
  });

  it('takes its parameters in registers and in memory, from 64-bit code and from 32-bit code (IRQ-135)', () => {
    for (const form of ['fast', 'memory'] as const) {
      const t = setup(2);
      const parameters = [0x61, 0, 0b10, 0];
      const [status] = form === 'fast' ? t.call([spec.CALL_SEND_IPI | FAST, 0], [0x61, 0], [0b10, 0]) : withInput(t, spec.CALL_SEND_IPI, parameters);
      expect([status, vectorsOf(t)]).toEqual([0, [[], [0x61]]]);
      const registers = new Uint32Array(32).fill(0xffff_ffff);
      const put = (low: number, high: number, [a, b]: Words): void => { registers[low * 2] = a; registers[high * 2] = b; };
      put(0, 2, [spec.CALL_SEND_IPI | (form === 'fast' ? FAST : 0), 0]); // EDX:EAX
      put(1, 3, form === 'fast' ? [0x62, 0] : [INPUT, 0]); // EBX:ECX
      put(6, 7, [0b11, 0]); // EDI:ESI
      t.words.write(INPUT, new Uint8Array(Uint32Array.of(0x62, 0, 0b11, 0).buffer));
      expect(t.fabric.apics[0]!.hypervisor!.call(registers, 0, 32)).toBe(true);
      expect([registers[0], registers[4], vectorsOf(t)]).toEqual([0, 0, [[0x62], [0x62]]]);
    }
  });

  it('has bits that must be 0 (IRQ-136)', () => {
    const { call } = setup();
    const tried: readonly Words[] = [...[27, 28, 29, 30, 31].map((bit): Words => [(1 << bit) >>> 0, 0]), ...[12, 13, 14, 15, 28, 29, 30, 31].map((bit): Words => [0, (1 << bit) >>> 0])];
    for (const [low, high] of tried) expect(call([(spec.CALL_LONG_SPIN_WAIT | low) >>> 0, high], [0, 0])[0], `${low} ${high}`).toBe(spec.STATUS_INVALID_INPUT);
    expect(call([spec.CALL_LONG_SPIN_WAIT | FAST, 0], [1, 0])[0]).toBe(0);
  });

  it('that repeats has a count, and a start below it; no other has either (IRQ-137)', () => {
    const t = setup(2);
    const flush = [0, 0, 0, 0, 0b11, 0, 0x1000, 0, 0x2000, 0];
    expect(withInput(t, spec.CALL_FLUSH_LIST, flush, 2)).toEqual([0, 2]);
    expect(t.notified).toEqual(['flush 0', 'flush 1']);
    expect(withInput(t, spec.CALL_FLUSH_LIST, flush, 2 | (1 << 16))).toEqual([0, 2]); // complete, what came before included
    for (const high of [0, 2 | (2 << 16), 2 | (3 << 16)]) expect(withInput(t, spec.CALL_FLUSH_LIST, flush, high)).toEqual([spec.STATUS_INVALID_INPUT, 0]);
    for (const high of [1, 1 << 16]) expect(withInput(t, spec.CALL_FLUSH_SPACE, flush, high)).toEqual([spec.STATUS_INVALID_INPUT, 0]);
    expect(t.call([spec.CALL_LONG_SPIN_WAIT | (1 << 17), 0], [0, 0])[0]).toBe(spec.STATUS_INVALID_INPUT); // a header of variable size
  });

  it('without an answer takes no notice of where one should go (IRQ-138)', () => {
    const t = setup();
    for (const output of [[0, 0], [1, 0], [0xffff_ffff, 0xffff_ffff], [INPUT + 4, 7]] as const) expect(t.call([spec.CALL_SIGNAL_EVENT | FAST, 0], [1234, 0], output)[0]).toBe(spec.STATUS_INVALID_CONNECTION);
  });
});

describe('interrupts to others', () => {
  it('go to those of a mask, and pass over those that are not there or whose local APIC is off (IRQ-139)', () => {
    const t = setup(4);
    t.processors[2]!.apic.writeRegister(0xf0, 4, 0xff);
    expect([t.call([spec.CALL_SEND_IPI | FAST, 0], [0x61, 0], [0xffff_ffff, 0xffff_ffff])[0], vectorsOf(t)]).toEqual([0, [[0x61], [0x61], [], [0x61]]]);
    expect([t.call([spec.CALL_SEND_IPI | FAST, 0], [0x61, 0], [0, 0])[0], vectorsOf(t)]).toEqual([0, [[], [], [], []]]);
    for (const [vector, reserved] of [[0x0f, 0], [0x100, 0], [0x61, 1], [0x61, 0x0100]] as const) expect(t.call([spec.CALL_SEND_IPI | FAST, 0], [vector, reserved], [1, 0])[0]).toBe(spec.STATUS_INVALID_INPUT);
    expect(vectorsOf(t)).toEqual([[], [], [], []]);
  });

  it('go to those of a sparse set (IRQ-139)', () => {
    const t = setup(3);
    /** Vector, format and banks; `header` quadwords of them beyond the mask. */
    const send = (words: readonly number[], header: number): readonly [number, number[][]] => [withInput(t, spec.CALL_SEND_IPI_EX | (header << 17), words)[0], vectorsOf(t)];
    expect(send([0x61, 0, 0, 0, 0b1, 0, 0b101, 0], 1)).toEqual([0, [[0x61], [], [0x61]]]);
    expect(send([0x61, 0, 0, 0, 0b11, 0, 0b010, 0, 0xffff_ffff, 0xffff_ffff], 2)).toEqual([0, [[], [0x61], []]]); // 64 to 127 are not there
    expect(send([0x61, 0, 0, 0, 0b10, 0, 0b111, 0], 1)).toEqual([0, [[], [], []]]);
    expect(send([0x61, 0, 0, 0, 0, 0], 0)).toEqual([0, [[], [], []]]); // nobody
    expect(send([0x61, 0, 1, 0, 0, 0], 0)).toEqual([0, [[0x61], [0x61], [0x61]]]); // all
    for (const [words, header] of [[[0x61, 0, 2, 0, 0, 0], 0], [[0x61, 0, 0, 0, 0b11, 0, 1, 0], 1], [[0x61, 0, 0, 1, 0, 0], 0], [[0x05, 0, 1, 0, 0, 0], 0]] as const) expect(send(words, header)).toEqual([spec.STATUS_INVALID_INPUT, [[], [], []]]);
  });
});

describe('the status', () => {
  it('of a call that there is not (IRQ-140)', () => {
    const { call } = setup();
    for (const code of [0, 1, 0x0046, 0x7fff, 0x8001]) expect(call([code, 0], [INPUT, 0])[0], `${code}`).toBe(spec.STATUS_INVALID_CODE);
  });

  it('of parameters that are not aligned, cross a page or are no memory (IRQ-140)', () => {
    const { call } = setup();
    for (const [low, high] of [[INPUT + 4, 0], [INPUT + 0xf80, 0], [0xf000_0000, 0], [INPUT, 1]] as const) expect(call([spec.CALL_POST_MESSAGE, 0], [low, high])[0]).toBe(spec.STATUS_INVALID_ALIGNMENT);
  });

  it('of messages: none, too long, to nobody, to somebody who has no place or has 16 (IRQ-140)', () => {
    const t = setup();
    const { fabric: { partition }, post, processors: [one] } = t;
    partition!.connectMessages(7, (message) => partition!.post(0, 2, message));
    partition!.connectMessages(8, (message) => partition!.post(5, 2, message));
    expect([post(7, 0, []), post(7, 0x8000_0001, []), post(7, 1, Array(241).fill(0)), post(9, 1, []), post(8, 1, [])]).toEqual([5, 5, 5, 0x12, 0x11]);
    expect(post(7, 1, [])).toBe(0x18);
    one!.enableSources();
    expect(Array.from({ length: 18 }, () => post(7, 1, Array(240).fill(3)))).toEqual([...Array(17).fill(0), 0x13]);
    expect(one!.take(2)!.message).toEqual({ type: 1, payload: new Uint8Array(240).fill(3), sender: 7 });
    expect(t.call([spec.CALL_POST_MESSAGE | FAST, 0], [7, 0])[0]).toBe(3);
  });

  it('of events: beyond the port, to nobody, to a masked source (IRQ-140)', () => {
    const t = setup();
    const { fabric: { partition }, processors: [one] } = t;
    const signal = (connection: number, flag: number): number => t.call([spec.CALL_SIGNAL_EVENT | FAST, 0], [connection, flag])[0];
    partition!.connectEvents(7, { flags: 4, signal: (flag) => partition!.signal(0, 2, 100 + flag) });
    expect([signal(7, 4), signal(8, 0), signal(7, 3)]).toEqual([5, 0x12, 0x18]);
    one!.enableSources();
    expect(signal(7, 3)).toBe(0x18);
    one!.set(spec.MSR_SINT0 + 2, 0x50);
    expect([signal(7, 3), t.words.load(SIEFP + 2 * 256 + 12), vectorsOf(t)]).toEqual([0, 1 << (103 - 96), [[0x50]]]);
    expect(withInput(t, spec.CALL_SIGNAL_EVENT, [7, 2])[0]).toBe(0);
  });
});

describe('privileges', () => {
  it('decide on registers: without one there is none (IRQ-141)', () => {
    const { processors: [one] } = modelPartition(createVirtualClock(), { enlighten: 'hyperv' });
    for (const index of [spec.MSR_SCONTROL, spec.MSR_SIMP, spec.MSR_EOM, spec.MSR_SINT0, spec.MSR_VP_RUNTIME, spec.MSR_RESET, spec.MSR_CRASH_P0]) expect([one!.get(index), one!.set(index, 0)]).toEqual([null, false]);
    for (const index of [spec.MSR_STIMER0, spec.MSR_TIME_REF_COUNT, spec.MSR_VP_INDEX, spec.MSR_TPR, spec.MSR_ICR]) expect(one!.get(index)).not.toBe(null);
    const explicit = modelPartition(createVirtualClock(), { eoi: 'explicit' }).processors[0]!;
    for (const index of [spec.MSR_EOI, spec.MSR_ICR, spec.MSR_TPR]) expect([explicit.get(index), explicit.set(index, 0)]).toEqual([null, false]);
    expect([explicit.set(spec.MSR_VP_ASSIST_PAGE, 0x1001), explicit.get(spec.MSR_VP_ASSIST_PAGE)]).toEqual([true, [0x1001, 0]]); // Linux names it whatever it may do
    for (const index of [0x4000_0040, 0x4000_00f0, 0x4000_0106, 0x4000_0200, 0x4000_ffff]) expect([explicit.get(index), explicit.set(index, 0)]).toEqual([null, false]);
  });

  it('decide on calls (IRQ-141)', () => {
    const t = modelPartition(createVirtualClock(), { enlighten: 'hyperv' });
    t.fabric.partition!.connectMessages(7, () => 0);
    t.fabric.partition!.connectEvents(7, { flags: 1, signal: () => 0 });
    expect([t.post(7, 1, []), t.call([spec.CALL_SIGNAL_EVENT | FAST, 0], [7, 0])[0]]).toEqual([spec.STATUS_ACCESS_DENIED, spec.STATUS_ACCESS_DENIED]);
    expect(t.call([spec.CALL_SEND_IPI | FAST, 0], [0x61, 0], [1, 0])[0]).toBe(spec.STATUS_INVALID_CODE);
  });
});

it('forgets everything that a guest has named when it starts another system (IRQ-145)', () => {
  const { processors: [one], words } = setup();
  const { set, get } = one!;
  const named = [spec.MSR_VP_ASSIST_PAGE, spec.MSR_HYPERCALL, spec.MSR_REFERENCE_TSC, spec.MSR_GUEST_OS_ID];
  set(spec.MSR_HYPERCALL, CALL_PAGE | 1);
  set(spec.MSR_REFERENCE_TSC, 0xe001);
  set(spec.MSR_VP_ASSIST_PAGE, 0x1001);
  one!.apic.writeRegister(0x300, 4, 0x4_4051);
  one!.apic.acknowledge();
  expect(words.load(0x1000)).toBe(1);
  for (const index of named) expect([set(index, 0), get(index)]).toEqual([true, [0, 0]]); // in the order of Linux before kexec
  expect([words.load(0x1000) & 1, one!.inService()]).toEqual([0, [0x51]]);
});
