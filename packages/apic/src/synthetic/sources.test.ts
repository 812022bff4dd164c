import { createVirtualClock } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { modelPartition, SIEFP, SIMP } from './model-partition.ts';
import * as spec from './spec.ts';

const SOURCE = 2, SLOT = SIMP + SOURCE * spec.SLOT_BYTES, SINT = spec.MSR_SINT0 + SOURCE;
const message = (type: number, payload: readonly number[] = []) => ({ type, payload: Uint8Array.from(payload) });

function setup({ vector = 0x50, flags = 0 } = {}) {
  const t = modelPartition(createVirtualClock());
  const one = t.processors[0]!;
  one.enableSources();
  expect(one.set(SINT, vector | flags)).toBe(true);
  const partition = t.fabric.partition!;
  const post = (type: number): number => partition.post(0, SOURCE, message(type));
  /** Types of messages that the guest finds, with the end of message that each one asks for. */
  const read = (): [number, boolean] | null => {
    const found = one.take(SOURCE);
    return found === null ? null : [found.message.type, found.more];
  };
  const eom = (): boolean => one.set(spec.MSR_EOM, 0);
  return { ...t, ...one, partition, post, read, eom };
}

describe('the register of a source', () => {
  it('takes legal vectors, and any while it is masked (IRQ-79)', () => {
    const { set, get } = modelPartition(createVirtualClock()).processors[0]!;
    for (let source = 0; source < 16; source++) {
      const index = spec.MSR_SINT0 + source;
      expect(get(index)).toEqual([spec.SINT_MASKED, 0]);
      for (const vector of [0, 1, 15]) expect([set(index, vector), set(index, vector | spec.SINT_AUTO_EOI), set(index, vector | spec.SINT_MASKED)]).toEqual([false, false, true]);
      expect([set(index, 16), get(index), set(index, 0xff | spec.SINT_AUTO_EOI), get(index)]).toEqual([true, [16, 0], true, [0xff | spec.SINT_AUTO_EOI, 0]]);
    }
    expect([get(spec.MSR_SINT0 + 16), set(spec.MSR_SINT0 + 16, 0x50)]).toEqual([null, false]);
  });

  it('comes with a version that cannot be written, and an end of message that reads 0 (IRQ-80, IRQ-81, INT-11)', () => {
    const { set, get } = setup();
    expect([get(spec.MSR_SVERSION), set(spec.MSR_SVERSION, 1), set(spec.MSR_SVERSION, 0)]).toEqual([[1, 0], false, false]);
    expect([get(spec.MSR_EOM), set(spec.MSR_EOM, 0), set(spec.MSR_EOM, 1, 1), get(spec.MSR_EOM)]).toEqual([[0, 0], true, true, [0, 0]]);
  });
});

describe('messages', () => {
  it('that wait are looked for at each end of message, whatever is written (IRQ-80, INT-11)', () => {
    const { post, read, set, drain, words, eom } = setup();
    for (const type of [1, 2]) post(type);
    words.store(SLOT, 0);
    expect(read()).toBe(null);
    set(spec.MSR_EOM, 0x1234_5678, 0x9abc);
    expect([read(), drain()]).toEqual([[2, false], [0x50]]);
    expect([eom(), read(), drain()]).toEqual([true, null, []]); // nothing waits: nothing happens
  });

  it('of a masked source are placed without an interrupt, each by an end of message (IRQ-82, INT-11, INT-12)', () => {
    const { post, read, drain, eom } = setup({ flags: spec.SINT_MASKED });
    for (const type of [1, 2, 3]) expect(post(type)).toBe(0);
    for (const expected of [[1, true], [2, true], [3, false]]) {
      expect(read()).toEqual(expected);
      eom();
    }
    expect(drain()).toEqual([]);
  });

  it('of a polled source likewise (IRQ-83)', () => {
    const { post, read, drain, eom } = setup({ flags: spec.SINT_POLLING });
    for (const type of [1, 2]) expect(post(type)).toBe(0);
    expect(read()).toEqual([1, true]);
    eom();
    expect([read(), drain()]).toEqual([[2, false], []]);
  });

  it('stay where they wait while there is no page, and come by an end of message when there is (IRQ-84, IRQ-85, INT-12)', () => {
    const { post, read, drain, eom, set, words } = setup({ flags: spec.SINT_AUTO_EOI });
    for (const type of [1, 2, 3]) post(type);
    expect([read(), drain()]).toEqual([[1, true], [0x50]]);
    set(spec.MSR_SIMP, SIMP);
    eom();
    expect([words.load(SLOT), drain(), post(4)]).toEqual([0, [], spec.STATUS_INVALID_SYNIC_STATE]);
    words.store(SLOT, 0xaaaa); // enabling clears the page
    set(spec.MSR_SIMP, SIMP | 1);
    expect([words.load(SLOT), drain()]).toEqual([0, []]);
    eom();
    expect([read(), drain()]).toEqual([[2, true], [0x50]]);
    set(spec.MSR_SCONTROL, 0);
    eom();
    expect([read(), post(4)]).toEqual([null, spec.STATUS_INVALID_SYNIC_STATE]);
    set(spec.MSR_SCONTROL, 1);
    eom();
    expect([read(), drain()]).toEqual([[3, false], [0x50]]);
  });

  it('come in order, 16 wait behind the one in the slot, and the next is refused (IRQ-88, INT-13)', () => {
    const { post, read, eom } = setup();
    for (let type = 1; type <= 17; type++) expect(post(type)).toBe(0);
    expect([post(18), post(18)]).toEqual([spec.STATUS_INSUFFICIENT_BUFFERS, spec.STATUS_INSUFFICIENT_BUFFERS]);
    for (let type = 1; type <= 17; type++) {
      expect(read()).toEqual([type, type < 17]);
      eom();
    }
    expect([post(18), read()]).toEqual([0, [18, false]]);
  });

  it('of one source wait for nobody else (INT-13)', () => {
    const { post, partition, set, take, read } = setup();
    set(spec.MSR_SINT0 + 5, 0x55);
    for (const type of [1, 2]) post(type);
    partition.post(0, 5, message(9));
    expect([take(5)!.message.type, take(5), read()]).toEqual([9, null, [1, true]]);
  });

  it('that wait stay when their connection goes (INT-13)', () => {
    const { partition, read, eom } = setup();
    partition.connectMessages(7, (one) => partition.post(0, SOURCE, one));
    for (const type of [1, 2]) expect(partition.postBy(7, message(type))).toBe(0);
    partition.disconnect(7);
    expect([partition.postBy(7, message(3)), read()]).toEqual([spec.STATUS_INVALID_CONNECTION, [1, true]]);
    eom();
    expect(read()).toEqual([2, false]);
  });

  it('come by any end of an interrupt of their vector, without an end of message (INT-12)', () => {
    const { post, read, apic, set } = setup();
    for (const type of [1, 2]) post(type);
    expect([apic.acknowledge(), read()]).toEqual([0x50, [1, true]]);
    set(spec.MSR_EOI, 0);
    expect([read(), apic.acknowledge()]).toEqual([[2, false], 0x50]);
  });

  it('are placed while the local APIC is off, and their interrupt is lost (IRQ-93, INT-12)', () => {
    const { post, read, drain, apic } = setup();
    apic.writeRegister(0xf0, 4, 0xff);
    expect(post(1)).toBe(0);
    apic.writeRegister(0xf0, 4, 0x1ff);
    expect([read(), drain()]).toEqual([[1, false], []]);
  });

  it('that wait go with a reset, of the processor or of all, and so do flags and pages (IRQ-92)', () => {
    for (const reset of [(t: ReturnType<typeof setup>) => t.fabric.reset(), (t: ReturnType<typeof setup>) => void t.apic.accept(0x500, 0, false)]) {
      const t = setup();
      for (const type of [1, 2, 3]) t.post(type);
      reset(t);
      expect([t.get(spec.MSR_SCONTROL), t.get(spec.MSR_SIMP), t.get(spec.MSR_SIEFP), t.get(SINT)]).toEqual([[0, 0], [0, 0], [0, 0], [spec.SINT_MASKED, 0]]);
      t.enableSources();
      t.eom();
      expect([t.read(), t.words.load(SLOT)]).toEqual([null, 0]);
    }
  });
});

describe('event flags', () => {
  const flagWord = (flag: number): number => SIEFP + SOURCE * spec.SLOT_BYTES + (flag >>> 5) * 4;

  it('interrupt when they are set, and not when they were (IRQ-90)', () => {
    const { partition, words, drain } = setup();
    for (const flag of [0, 31, 32, 2047]) {
      expect([partition.signal(0, SOURCE, flag), drain()]).toEqual([0, [0x50]]);
      expect(words.load(flagWord(flag)) & ((1 << (flag & 31)) >>> 0)).not.toBe(0);
      expect([partition.signal(0, SOURCE, flag), drain()]).toEqual([0, []]);
      words.and(flagWord(flag), ~(1 << (flag & 31)));
      expect([partition.signal(0, SOURCE, flag), drain()]).toEqual([0, [0x50]]);
    }
    expect([partition.signal(0, SOURCE, 2048), partition.signal(0, 16, 0), partition.signal(7, SOURCE, 0)]).toEqual([spec.STATUS_INVALID_PARAMETER, spec.STATUS_INVALID_PORT, spec.STATUS_INVALID_PORT]);
  });

  it('need a page, a controller that is on, and a source that is not masked (IRQ-90)', () => {
    for (const [index, value] of [[spec.MSR_SIEFP, SIEFP], [spec.MSR_SCONTROL, 0], [SINT, spec.SINT_MASKED | 0x50]] as const) {
      const { partition, set, words } = setup();
      set(index, value);
      expect([partition.signal(0, SOURCE, 3), words.load(flagWord(3))]).toEqual([spec.STATUS_INVALID_SYNIC_STATE, 0]);
    }
  });
});

describe('a vector of several sources', () => {
  it('ends itself if one of them says so that is not masked (IRQ-91, INT-06)', () => {
    const { set, fabric, apic, inService } = setup();
    const other = spec.MSR_SINT0 + 5;
    const endsItself = (source: number): boolean => {
      fabric.partition!.raise(0, source);
      expect(apic.acknowledge()).toBe(0x50);
      const ended = inService().length === 0;
      if (!ended) set(spec.MSR_EOI, 0);
      return ended;
    };
    expect(endsItself(SOURCE)).toBe(false);
    set(other, 0x50 | spec.SINT_AUTO_EOI);
    expect([endsItself(SOURCE), endsItself(5)]).toEqual([true, true]);
    set(other, 0x50 | spec.SINT_AUTO_EOI | spec.SINT_MASKED);
    expect(endsItself(SOURCE)).toBe(false);
    set(other, 0x51 | spec.SINT_AUTO_EOI);
    expect(endsItself(SOURCE)).toBe(false);
    set(SINT, 0x50 | spec.SINT_AUTO_EOI);
    set(other, 0x50);
    expect(endsItself(5)).toBe(true);
  });

  it('is looked up when it is taken: who has sent it, and what it was then, leaves no trace (IRQ-99, IRQ-97, INT-05)', () => {
    const { set, fabric, apic, inService } = setup({ flags: spec.SINT_AUTO_EOI });
    const fromSource = (): void => fabric.partition!.raise(0, SOURCE);
    const fromProcessor = (): void => apic.writeRegister(0x300, 4, 0x4_4050);
    for (const senders of [[fromSource, fromProcessor], [fromProcessor, fromSource], [fromProcessor]]) {
      for (const send of senders) send();
      expect([apic.acknowledge(), apic.acknowledge(), inService()]).toEqual([0x50, -1, []]);
    }
    fromSource();
    set(SINT, 0x50);
    expect([apic.acknowledge(), inService()]).toEqual([0x50, [0x50]]);
    set(SINT, 0x50 | spec.SINT_AUTO_EOI);
    expect(inService()).toEqual([0x50]);
    apic.writeRegister(0xb0, 4, 0);
    fromProcessor();
    expect([apic.acknowledge(), inService()]).toEqual([0x50, []]);
  });
});

it('wakes a halted processor by what comes after an end that nobody was told of (IRQ-108, IRQ-105)', () => {
  const { processors: [one], words } = modelPartition(createVirtualClock());
  const { apic, set, inService } = one!;
  set(spec.MSR_VP_ASSIST_PAGE, 0x1001);
  apic.writeRegister(0x300, 4, 0x4_4051);
  apic.acknowledge();
  expect(words.and(0x1000, ~1) & 1).toBe(1); // ended, and HLT
  expect(apic.isPending()).toBe(false);
  apic.writeRegister(0x300, 4, 0x4_4041);
  expect([apic.isPending(), apic.acknowledge(), inService()]).toEqual([true, 0x41, [0x41]]);
});

it('has one face and one word for ends at a time: a guest of Hyper-V finds no registers of KVM, and the other way round (IRQ-115, IRQ-143)', () => {
  const hyperv = modelPartition(createVirtualClock(), { eoi: 'lazy' }).processors[0]!;
  const kvm = modelPartition(createVirtualClock(), { eoi: 'lazy', enlighten: 'kvm' }).processors[0]!;
  for (const index of [0x4b56_4d00, 0x4b56_4d01, 0x4b56_4d04, 0x11, 0x12]) expect([hyperv.get(index), hyperv.set(index, 0x1001)]).toEqual([null, false]);
  for (const index of [spec.MSR_GUEST_OS_ID, spec.MSR_VP_ASSIST_PAGE, spec.MSR_EOI, spec.MSR_SCONTROL]) expect([kvm.get(index), kvm.set(index, 0x1001)]).toEqual([null, false]);
  for (const leaf of [0x4000_0100, 0x4000_0101, 0x4000_0081, 0x4000_0082, 0x4000_000a, 0x4000_000c]) {
    for (const { apic } of [hyperv, kvm]) expect(apic.hypervisor!.leaf(leaf)).toEqual([0, 0, 0, 0]);
  }
  expect([hyperv, kvm].map(({ apic }) => apic.hypervisor!.leaf(0x4000_0000)![1])).toEqual([0x7263_694d, 0x4b4d_564b]);
});
