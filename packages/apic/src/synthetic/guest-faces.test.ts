import { createVirtualClock } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { ApicBus } from '../apic-bus.ts';
import { type ApicFabricOptions, createApicFabric } from '../apic-fabric.ts';
import * as spec from './spec.ts';
import { GuestWords } from './guest-words.ts';
import { takeMessage } from './message-slot.ts';

const SVR = 0xf0, EOI = 0xb0, ISR = 0x100, ICR = 0x300;
const ASSIST = 0x1000, SIMP = 0x2000, SIEFP = 0x3000, SOURCE = 2, SLOT = SIMP + SOURCE * spec.SLOT_BYTES;
const PV_EOI = 0x4b56_4d04, SYSTEM_TIME = 0x4b56_4d01;
type Options = Pick<ApicFabricOptions, 'enlighten' | 'eoi'>;

/** A machine of one processor; `memory` and the time go with a saved one. */
function machine(options: Options, memory = new WebAssembly.Memory({ initial: 1, maximum: 1 }), start = 0) {
  const clock = createVirtualClock(start);
  const ended: number[] = [];
  const fabric = createApicFabric({
    clock, signal: () => {}, notify: () => {}, acknowledge: () => -1, log: () => {}, endOfInterrupt: (vector) => void ended.push(vector),
  }, { processors: 1, bus: new ApicBus(), ram: () => ram, ...options });
  const ram = { memory, offsetOf: (gpa: number) => (gpa < memory.buffer.byteLength ? gpa : -1), written: () => {} };
  fabric.reset();
  const apic = fabric.apics[0]!;
  apic.writeRegister(SVR, 4, 0x1ff);
  const set = (index: number, low: number): boolean => apic.writeModelRegister(index, low, 0);
  const get = (index: number): number | null => (apic.readModelRegister(index) ? apic.low : null);
  const self = (vector: number): void => apic.writeRegister(ICR, 4, 0x4_4000 | vector);
  const inService = (): number[] => Array.from({ length: 256 }, (_, v) => v).filter((v) => (apic.readRegister(ISR + (v >>> 5) * 16, 4) & (1 << (v & 31))) !== 0);
  /** The machine that goes on with what this one saved. */
  const restored = () => {
    const copy = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    new Uint8Array(copy.buffer).set(new Uint8Array(memory.buffer));
    const other = machine(options, copy, clock.now());
    new Uint8Array(copy.buffer).set(new Uint8Array(memory.buffer));
    other.fabric.load(structuredClone(fabric.save()));
    return other;
  };
  return { clock, fabric, apic, set, get, self, inService, restored, words: new GuestWords(ram), message: () => takeMessage(new GuestWords(ram), SLOT) };
}

describe.each([['hyperv-full', spec.MSR_VP_ASSIST_PAGE], ['kvm', PV_EOI]] as const)('an offer that stands in the memory of %s', (enlighten, register) => {
  function offered() {
    const m = machine({ enlighten, eoi: 'lazy' });
    expect(m.set(register, ASSIST | 1)).toBe(true);
    m.self(0x41);
    expect(m.apic.acknowledge()).toBe(0x41);
    expect(m.words.load(ASSIST)).toBe(1);
    return m;
  }

  it('goes on in the restored machine: used by the guest afterwards (INT-18, IRQ-110, IRQ-102, IRQ-107, IRQ-114)', () => {
    const { restored } = offered();
    const { words, self, apic, inService } = restored();
    expect(words.and(ASSIST, ~1)).toBe(1);
    self(0x41);
    expect(apic.acknowledge()).toBe(0x41);
    words.and(ASSIST, ~1);
    expect(inService()).toEqual([]);
    expect(apic.ends).toMatchObject({ lazy: 2, memory: 0, spurious: 0 });
  });

  it('was used before the machine was saved, and ends one vector after it (INT-18, IRQ-110, IRQ-114)', () => {
    const { words, restored } = offered();
    words.and(ASSIST, ~1);
    const { apic, inService } = restored();
    expect(inService()).toEqual([]);
    expect(apic.ends).toMatchObject({ lazy: 1, spurious: 0 });
  });

  it('is withdrawn in the restored machine by an end that is written (INT-18, IRQ-106, IRQ-110)', () => {
    const { apic, words, inService } = offered().restored();
    apic.writeRegister(EOI, 4, 0);
    expect(inService()).toEqual([]);
    expect(words.load(ASSIST) & 1).toBe(0);
    expect(apic.ends).toMatchObject({ lazy: 0, memory: 1, spurious: 0, withdrawn: 1 });
  });

  it('is withdrawn when the guest names another place or none, and by INIT (IRQ-109, IRQ-111)', () => {
    for (const end of [(m: ReturnType<typeof machine>) => void m.set(register, 0), (m: ReturnType<typeof machine>) => void m.apic.accept(0x500, 0, false)]) {
      const m = offered();
      end(m);
      expect(m.words.load(ASSIST) & 1).toBe(0);
    }
  });

  it('leaves the other bits of the word as they are (IRQ-113)', () => {
    const m = offered();
    m.words.or(ASSIST, 0x1234_0000);
    m.self(0x31); // it takes the offer back
    expect(m.words.load(ASSIST)).toBe(0x1234_0000);
  });
});

it('makes no offers after a restore that it did not make before (INT-18)', () => {
  const m = machine({ enlighten: 'hyperv', eoi: 'auto' });
  expect(m.set(spec.MSR_VP_ASSIST_PAGE, ASSIST | 1)).toBe(true);
  const { self, apic, words } = m.restored();
  self(0x41);
  expect(apic.acknowledge()).toBe(0x41);
  expect([words.load(ASSIST), apic.ends.offered]).toEqual([0, 0]);
});

it('takes a state whose offer nobody can have made for one without (INT-18)', () => {
  const from = machine({ enlighten: 'none' }), to = machine({ enlighten: 'none' });
  const state = from.fabric.save() as { apics: readonly object[] };
  to.fabric.load({ ...state, apics: state.apics.map((apic) => ({ ...apic, offered: true })) } as never);
  to.self(0x41);
  expect(to.apic.acknowledge()).toBe(0x41);
});

it('saves sources, messages that wait, and service of those that do not end themselves (INT-18)', () => {
  const m = machine({ enlighten: 'hyperv-full', eoi: 'auto' });
  m.set(spec.MSR_SCONTROL, 1);
  m.set(spec.MSR_SIMP, SIMP | 1);
  m.set(spec.MSR_SIEFP, SIEFP | 1);
  m.set(spec.MSR_SINT0 + SOURCE, 0x50 | spec.SINT_AUTO_EOI);
  for (const n of [1, 2, 3]) expect(m.fabric.partition!.post(0, SOURCE, { type: n, payload: Uint8Array.of(n), sender: n + 8 })).toBe(0);
  m.self(0x30);
  expect([m.apic.acknowledge(), m.apic.acknowledge()]).toEqual([0x50, 0x30]);
  const other = m.restored();
  expect(other.fabric.save()).toEqual(m.fabric.save());
  expect(other.inService()).toEqual([0x30]);
  const seen: unknown[] = [];
  for (let taken = other.message(); taken !== null; taken = other.message()) {
    seen.push([taken.message.type, [...taken.message.payload], taken.message.sender, taken.more]);
    if (taken.more) other.set(spec.MSR_EOM, 0);
  }
  expect(seen).toEqual([[1, [1], 9, true], [2, [2], 10, true], [3, [3], 11, false]]);
  expect(other.apic.acknowledge()).toBe(0x50); // it still ends itself
  expect(other.inService()).toEqual([0x30]);
});

it('goes on with timers where they were: one-shot, periodic, direct, and one that waits for its slot (INT-18, IRQ-125, IRQ-126, IRQ-128)', () => {
  const m = machine({ enlighten: 'hyperv-full', eoi: 'auto' });
  m.set(spec.MSR_SCONTROL, 1);
  m.set(spec.MSR_SIMP, SIMP | 1);
  m.set(spec.MSR_SINT0 + SOURCE, 0x50 | spec.SINT_AUTO_EOI);
  const timer = (index: number, config: number, count: number): void => {
    expect(m.set(spec.MSR_STIMER0 + index * 2 + 1, count)).toBe(true);
    expect(m.set(spec.MSR_STIMER0 + index * 2, config | spec.STIMER_ENABLE)).toBe(true);
  };
  const bySource = SOURCE << 16;
  timer(0, bySource, 10); // 1 us
  timer(1, bySource, 20);
  timer(2, spec.STIMER_DIRECT | spec.STIMER_PERIODIC | (0x61 << 4), 1000); // every 100 us
  timer(3, spec.STIMER_DIRECT | (0x71 << 4), 3000);
  m.clock.advance(150_000);
  const acknowledged: number[] = [];
  const drain = (from: ReturnType<typeof machine>): void => {
    for (let vector = from.apic.acknowledge(); vector >= 0; vector = from.apic.acknowledge()) {
      acknowledged.push(vector);
      if (vector !== 0x50) from.apic.writeRegister(EOI, 4, 0);
    }
  };
  drain(m);
  expect(acknowledged).toEqual([0x61, 0x50]);
  const other = m.restored();
  expect(other.fabric.save()).toEqual(m.fabric.save());
  acknowledged.length = 0;
  const first = other.message()!;
  expect([first.message.payload[0], first.more]).toEqual([0, true]);
  expect(other.get(spec.MSR_STIMER0 + 2)! & 1).toBe(1); // not delivered, so still enabled
  other.set(spec.MSR_EOM, 0);
  const second = other.message()!;
  expect([second.message.payload[0], second.more]).toEqual([1, false]);
  expect(other.get(spec.MSR_STIMER0 + 2)! & 1).toBe(0);
  for (let time = 200; time <= 400; time += 50) {
    other.clock.advance(50_000);
    drain(other);
  }
  expect(acknowledged).toEqual([0x61, 0x50, 0x71, 0x61, 0x61]);
});

it('saves what KVM was told and writes its clock no second time (INT-18)', () => {
  const m = machine({ enlighten: 'kvm', eoi: 'lazy' });
  m.set(SYSTEM_TIME, 0x4001);
  expect(m.words.load(0x4000)).toBe(2);
  const other = m.restored();
  expect(other.fabric.save()).toEqual(m.fabric.save());
  expect([other.get(SYSTEM_TIME), other.words.load(0x4000)]).toEqual([0x4001, 2]);
});

it('refuses states of another enlightenment and with wrong members (INT-18)', () => {
  const m = machine({ enlighten: 'hyperv' });
  const state = m.fabric.save() as { faces: readonly object[] };
  expect(() => machine({ enlighten: 'none' }).fabric.load(state as never)).toThrow(TypeError);
  for (const name of ['assist', 'controller', 'timers']) {
    expect(() => m.fabric.load({ ...state, faces: [{ ...state.faces[0], [name]: [1] }] } as never), name).toThrow(TypeError);
  }
});

it('asks for the end of a message that takes the slot for which another timer waits (IRQ-126, INT-14)', () => {
  const m = machine({ enlighten: 'hyperv-full', eoi: 'auto' });
  m.set(spec.MSR_SCONTROL, 1);
  m.set(spec.MSR_SIMP, SIMP | 1);
  m.set(spec.MSR_SINT0 + SOURCE, 0x50 | spec.SINT_AUTO_EOI);
  expect(m.fabric.partition!.post(0, SOURCE, { type: 1, payload: new Uint8Array(0) })).toBe(0);
  const timer = (index: number, count: number): void => {
    m.set(spec.MSR_STIMER0 + index * 2 + 1, count);
    m.set(spec.MSR_STIMER0 + index * 2, (SOURCE << 16) | spec.STIMER_ENABLE);
  };
  timer(1, 10);
  timer(0, 20);
  m.clock.advance(1_500); // timer 1 finds the slot full and marks it
  m.words.store(SLOT, 0); // the guest empties it and has not looked for the mark yet
  m.clock.advance(1_500); // timer 0 is placed, its header where the mark was
  const seen: number[] = [];
  for (let taken = m.message(); taken !== null; taken = m.message()) {
    seen.push(taken.message.payload[0]!);
    if (taken.more) m.set(spec.MSR_EOM, 0);
  }
  expect(seen).toEqual([0, 1]);
});

it('costs one end of message less than there are messages in a burst (INT-09, INT-10)', () => {
  for (const burst of [1, 2, 8, 16]) {
    const m = machine({ enlighten: 'hyperv-full', eoi: 'auto' });
    m.set(spec.MSR_SCONTROL, 1);
    m.set(spec.MSR_SIMP, SIMP | 1);
    m.set(spec.MSR_SINT0 + SOURCE, 0x50 | spec.SINT_AUTO_EOI);
    for (let n = 1; n <= burst; n++) expect(m.fabric.partition!.post(0, SOURCE, { type: n, payload: new Uint8Array(0) })).toBe(0);
    const seen: number[] = [];
    while (m.apic.acknowledge() === 0x50) {
      const { message, more } = m.message()!;
      seen.push(message.type);
      if (more) m.set(spec.MSR_EOM, 0);
    }
    expect(seen).toEqual(Array.from({ length: burst }, (_, i) => i + 1));
    expect(Object.fromEntries(m.fabric.counts!())).toMatchObject({ 'synthetic.messages.ends': burst - 1, 'local-apic.ends.synthetic': 0, 'local-apic.ends.memory': 0 });
  }
});
