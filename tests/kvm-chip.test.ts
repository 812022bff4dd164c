import { ApicBus, type ApicFabric, createApicFabric } from '@vm/apic';
import { ioApic } from '@vm/apic/device';
import { createMachine, device, type DeviceModule, type Engine, type Machine, type MachineOptions, type Vcpu } from '@vm/core';
import { prepareEntry } from '@vm/pc';
import { ENGINE_PROGRAMS, firstParting, recordProgram } from '@vm/testkit';
import { kvmEngine, type KvmEngineOptions } from '@vm/vcpu-kvm';
import { wasmEngine } from '@vm/vcpu-wasm';
import { CONDITION_NE, createAssembler, type EntryState, mem, r32, r8, RAX, RBX, RCX, RDX } from '@vm/x86';
import { describe, expect } from 'vitest';
import { itWithKvm, kvmHost } from './kvm-host.ts';

const { probe, processor } = kvmHost();
const ENTRY = 0x10_0000, IDT = 0x11_0000, COUNT = 0x18_0000, VECTOR = 0x51, LEVEL_VECTOR = 0x61;
const [APIC, EOI, SVR, ICR, LVT_TIMER, INITIAL, DIVIDE] = [0xfee0_0000, 0xb0, 0xf0, 0x300, 0x320, 0x380, 0x3e0];
const TO_SELF = 0x4_4000 | VECTOR, ONCE = VECTOR, PERIODIC = 0x2_0000 | VECTOR;
const [END_PORT, RAISE_PORT] = [0x60, 0x61];

type Loads = Vcpu & { loadBootState(entry: EntryState): void };
type Assembler = ReturnType<typeof createAssembler>;
const apic = (register: number) => mem(4, { base: RBX, displacement: register });

/** A program in long mode whose handler of `VECTOR` counts in RAM, and that tells a port when it is through. */
interface Guest { readonly bytes: Uint8Array; readonly gate: (offset: string) => Uint32Array }
function guest(body: (code: Assembler) => void, level: 'level' | 'stay' = 'level'): Guest {
  const code = createAssembler(64, { origin: ENTRY }).mov(r32(RBX), APIC | 0).mov(r32(RAX), 0x1ff).mov(apic(SVR), r32(RAX)).mov(apic(DIVIDE), 0xb).lidt(mem(0, { label: 'table' }));
  body(code);
  code.out(END_PORT, r8(RAX)).label('rest').hlt().jmp('rest');
  code.label('handler').inc(mem(4, { displacement: COUNT })).mov(apic(EOI), 0).size(8).iret();
  code.label('level').out(RAISE_PORT, r8(RAX)).inc(mem(4, { displacement: COUNT + 4 })).mov(apic(EOI), 0).size(8).iret();
  code.label('stay').mov(apic(ICR), TO_SELF).inc(mem(4, { displacement: COUNT + 4 })).label('stays').inc(mem(4, { displacement: COUNT + 8 })).jmp('stays');
  code.align(8).label('table').data(0xff, 0x0f).dataAddress('table at', 8).label('table at');
  const bytes = code.bytes();
  new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(code.offsetOf('table')! + 2, BigInt(IDT), true);
  const gate = (label: string): Uint32Array => {
    const at = ENTRY + code.offsetOf(label)!;
    return new Uint32Array([(0x10 << 16) | (at & 0xffff), (at & 0xffff_0000) | 0x8e00, 0, 0]);
  };
  return { bytes, gate: (label) => gate(label === 'level' ? level : label) };
}

interface Run { readonly machine: Machine<Loads>; readonly ended: Promise<void>; readonly fabric: ApicFabric; lower: () => void }
async function run(engine: Engine<Loads>, { bytes, gate }: Guest, options: Partial<MachineOptions<Loads>> = {}): Promise<Run> {
  const bus = new ApicBus();
  let fabric: ApicFabric | null = null;
  let end: () => void = () => undefined;
  let line: { set(high: boolean): void } | null = null;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const ports: DeviceModule<void, 'pio' | 'lines'> = {
    manifest: { abi: 1, id: 'test.ports', version: '1.0.0', state: 0, needs: ['pio', 'lines'] },
    create: ({ pio, lines }) => {
      line = lines.connect(5);
      pio.claim('end', 1, { read: () => 0, write: () => end() }, [1]).map(END_PORT);
      pio.claim('raise', 1, { read: () => (line!.set(true), 0), write: () => line!.set(false) }, [1]).map(RAISE_PORT);
      return {};
    },
  };
  const machine = await createMachine<Loads>({
    engine, ramBytes: 2 << 20, interrupts: (services) => (fabric = createApicFabric(services, { processors: options.processors ?? 1, bus })), devices: [device('io-apic', ioApic, { bus }), device('ports', ports)],
    load: ({ memory, vcpu }) => {
      memory.copyIn(ENTRY, bytes);
      memory.copyIn(IDT + VECTOR * 16, new Uint8Array(gate('handler').buffer));
      memory.copyIn(IDT + LEVEL_VECTOR * 16, new Uint8Array(gate('level').buffer));
      vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
    },
    ...options,
  });
  await machine.powerUp();
  return { machine, ended, fabric: fabric!, lower: () => line!.set(false) };
}
const counted = ({ machine }: Run, which = 0): number => machine.memory.read(COUNT + which * 4, 4);
const exitsOf = ({ machine }: Run): number => Array.from(machine.vcpu.counts!()).reduce((sum, [name, count]) => sum + (name.startsWith('exits.') ? count : 0), 0);
const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
async function until(isSo: () => boolean): Promise<void> { while (!isSo()) await soon(); }
const kernel = (threads: boolean, more: KvmEngineOptions = {}): Engine<Loads> => kvmEngine({ ...processor, ...more, threads, interruptChip: 'kernel' });

const TIMES = 50;
const messages = guest((code) => code.mov(r32(RCX), TIMES).label('again').cli().mov(apic(ICR), TO_SELF).sti().hlt().dec(r32(RCX)).jcc(CONDITION_NE, 'again'));
const ticks = guest((code) => code.mov(apic(LVT_TIMER), ONCE).mov(r32(RCX), TIMES).label('again').cli().mov(apic(INITIAL), 100_000).sti().hlt().dec(r32(RCX)).jcc(CONDITION_NE, 'again'));

const beats = guest((code) => code.mov(apic(LVT_TIMER), PERIODIC).mov(apic(INITIAL), 2_000_000).sti().label('beat').hlt().jmp('beat'));
const ioApicAt = (offset: number) => mem(4, { base: RDX, displacement: offset });
/** Input 5 as a level. */
const routed = (code: Assembler): Assembler => code.mov(r32(RDX), 0xfec0_0000 | 0).mov(ioApicAt(0), 0x1b).mov(ioApicAt(0x10), 0).mov(ioApicAt(0), 0x1a).mov(ioApicAt(0x10), 0x8000 | LEVEL_VECTOR);
const levels = guest((code) => routed(code).mov(r32(RCX), TIMES).label('again').cli().in(r8(RAX), RAISE_PORT).sti().hlt().dec(r32(RCX)).jcc(CONDITION_NE, 'again'));
/** Stays in the handler of a level, with a request behind it. */
const served = guest((code) => routed(code).sti().in(r8(RAX), RAISE_PORT).label('wait').jmp('wait'), 'stay');

describe.each([['in the machine\'s thread', false], ['in threads', true]])('the kernel\'s interrupt chip, processors %s', (_where, threads) => {
  for (const mode of ['real', 'protected', 'paging', 'pae', 'long'] as const) {
    itWithKvm(mode, `does what the software engine does, exit by exit, ${mode} mode`, async () => {
      for (const program of ENGINE_PROGRAMS.filter(({ modes, native }) => modes.includes(mode) && (probe.usable || !native.includes(mode)))) {
        const [software, hardware] = [await recordProgram(wasmEngine({ ...processor, translator: 'off' }), program, mode), await recordProgram(kernel(threads), program, mode)];
        expect([program.name, firstParting(software, hardware)]).toEqual([program.name, null]);
      }
    }, 120_000);
  }

  itWithKvm('long', 'spares a guest that interrupts itself its exits', async () => {
    const [model, chip] = [await run(kvmEngine({ ...processor, threads }), messages), await run(kernel(threads), messages)];
    await using _model = model.machine;
    await using _chip = chip.machine;
    await Promise.all([model.ended, chip.ended]);
    expect([counted(model), counted(chip)]).toEqual([TIMES, TIMES]);
    expect(exitsOf(model)).toBeGreaterThan(2 * TIMES); // the command and the end
    expect(exitsOf(chip)).toBeLessThan(5);
  }, 60_000);

  itWithKvm('long', 'wakes a guest that halts by its timer', async () => {
    const chip = await run(kernel(threads), ticks);
    await using _chip = chip.machine;
    await chip.ended;
    expect(counted(chip)).toBe(TIMES);
    expect(exitsOf(chip)).toBeLessThan(5);
  }, 60_000);

  itWithKvm('long', 'tells the I/O APIC of the end of each level, and of nothing else', async () => {
    const chip = await run(kernel(threads), levels);
    await using _chip = chip.machine;
    await chip.ended;
    expect(counted(chip, 1)).toBe(TIMES);
    expect(new Map(chip.machine.vcpu.counts!()).get('exits.ioapic-eoi')).toBe(TIMES);
  }, 60_000);

  for (const [from, to] of [['kernel', 'software'], ['software', 'kernel'], ['kernel', 'model'], ['model', 'kernel'], ['kernel', 'kernel']] as const) {
    itWithKvm('long', `is saved with a timer under way: ${from} to ${to}`, async () => {
      const engineOf = (name: typeof from | typeof to): Engine<Loads> => (name === 'kernel' ? kernel(threads) : name === 'software' ? wasmEngine(processor) : kvmEngine({ ...processor, threads }));
      const saved: Uint8Array[] = [];
      let before = 0;
      {
        const first = await run(engineOf(from), beats);
        await using machine = first.machine;
        await until(() => counted(first) > 3);
        await machine.save((piece) => void saved.push(piece));
        before = counted(first);
        await until(() => counted(first) > before + 3); // it goes on as it was
        await machine.pause();
      }
      const second = await run(engineOf(to), beats, { restore: { bytes: Buffer.concat(saved) } });
      await using _second = second.machine;
      const resumed = counted(second);
      await until(() => counted(second) > resumed + 3);
      expect(resumed).toBeGreaterThan(3); // of the machine that was saved
      expect(before).toBeGreaterThan(3);
    }, 60_000);
  }

  itWithKvm('long', 'keeps what was requested and is served when it comes from a model and goes back to one, and the levels that are not ended', async () => {
    const saved: Uint8Array[] = [];
    {
      const model = await run(kvmEngine({ ...processor, threads }), served);
      await using machine = model.machine;
      await until(() => counted(model, 2) > 10);
      await machine.save((piece) => void saved.push(piece));
    }
    const chip = await run(kernel(threads), served, { restore: { bytes: Buffer.concat(saved) } });
    await using machine = chip.machine;
    const before = counted(chip, 2);
    await until(() => counted(chip, 2) > before + 10);
    await machine.pause();
    const [model] = chip.fabric.apics;
    const { inService, requested, levelTriggered } = model!.save();
    const [low, high] = [VECTOR, LEVEL_VECTOR].map((vector) => Array.from({ length: 8 }, (_, word) => (vector >>> 5 === word ? 1 << (vector & 31) : 0)));
    expect({ inService, requested, levelTriggered }).toEqual({ inService: high, requested: low, levelTriggered: high });
    expect(model!.isAccepting()).toBe(true);
  }, 60_000);
});

const someTime = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 150)); // long enough for a machine to fall asleep

const NMI = 2;
describe.each([['in the machine\'s thread', false], ['in threads', true]])('processors with the kernel\'s interrupt chip, %s', (_where, threads) => {
  itWithKvm('long', 'are told of when they halt for good, which a non-maskable interrupt ends', async () => {
    let halted = 0;
    const still = guest((code) => code.label('halt').cli().hlt().jmp('halt'));
    const chip = await run(kernel(threads, { haltedForGood: () => halted++ }), { ...still, gate: still.gate });
    await using machine = chip.machine;
    machine.memory.copyIn(IDT + NMI * 16, new Uint8Array(still.gate('handler').buffer));
    await until(() => halted > 0);
    for (let i = 1; i <= 3; i++) {
      machine.notify(0, 'nmi', 0);
      await until(() => counted(chip) === i);
    }
  }, 60_000);

  itWithKvm('long', 'are woken by messages when they have had nothing to do for a while', async () => {
    const chip = await run(kernel(threads), guest((code) => code.sti().label('halt').hlt().jmp('halt')));
    await using _chip = chip.machine;
    for (let i = 1; i <= 3; i++) {
      await someTime();
      chip.fabric.message(0xfee0_0000, VECTOR);
      await until(() => counted(chip) === i);
    }
  }, 60_000);

  itWithKvm('long', 'begin at the reset vector when their INIT line is pulled', async () => {
    const begun = 0x7000;
    const program = guest((code) => code.label('round').inc(mem(4, { displacement: COUNT })).jmp('round'));
    const firmware = createAssembler(16, { origin: 0xfff0 }).inc(mem(2, { displacement: begun })).label('stay').hlt().jmp('stay').bytes();
    const chip = await run(kernel(threads), program, { firmwareBytes: 0x1_0000 });
    await using machine = chip.machine;
    machine.memory.copyIn(0xffff_fff0, firmware);
    await until(() => counted(chip) > 0);
    chip.fabric.initialize();
    await until(() => machine.memory.read(begun, 2) === 1);
    machine.notify(0, 'init', 0);
    await until(() => machine.memory.read(begun, 2) === 2);
  }, 60_000);

  itWithKvm('long', 'begin anew when the machine is reset, and so do their timers', async () => {
    const chip = await run(kernel(threads), beats);
    await using machine = chip.machine;
    for (let i = 0; i < 3; i++) {
      await until(() => counted(chip) > 3);
      expect(chip.fabric.apics[0]!.window()).toBe(-1); // the kernel has it
      await machine.pause();
      machine.memory.write(COUNT, 4, 0);
      await machine.resume();
      await machine.reset();
    }
    await until(() => counted(chip) > 3);
    await machine.pause();
    expect(chip.fabric.apics[0]!.window()).toBe(APIC);
  }, 60_000);
});

describe('the kernel\'s interrupt chip', () => {
  itWithKvm('long', 'is saved with one processor that runs and one that has not been started, which is started elsewhere', async () => {
    const [start, other, flag] = [0x6_0000, 0x7000, 0x18_0100];
    const code = guest((at) => {
      at.label('wait').mov(r32(RCX), mem(4, { displacement: flag })).cmp(r32(RCX), 1).jcc(CONDITION_NE, 'wait');
      for (const command of [0x4500, 0x4600 | (start >>> 12)]) at.mov(apic(0x310), 1 << 24).mov(apic(ICR), command);
    });
    const second = createAssembler(16, { origin: start }).label('round').inc(mem(2, { displacement: other })).jmp('round').bytes();
    const engines = { kernel: () => kernel(true), model: () => kvmEngine({ ...processor, threads: true }), software: () => wasmEngine(processor) } as const;
    const begun = await run(engines.kernel(), code, { processors: 2 });
    await using _begun = begun.machine;
    begun.machine.memory.copyIn(start, second);
    let bytes: Uint8Array = new Uint8Array(0);
    const save = async ({ machine }: Run): Promise<void> => {
      const pieces: Uint8Array[] = [];
      await machine.save((piece) => void pieces.push(piece));
      bytes = Buffer.concat(pieces);
    };
    await save(begun);
    const waiting = bytes;
    for (const to of ['kernel', 'model', 'software'] as const) {
      const next = await run(engines[to](), code, { processors: 2, restore: { bytes: waiting } });
      await using machine = next.machine;
      expect(machine.memory.read(other, 2)).toBe(0);
      machine.memory.write(flag, 4, 1);
      await until(() => machine.memory.read(other, 2) > 0);
      await save(next); // with both under way
      const last = await run(engines.kernel(), code, { processors: 2, restore: { bytes } });
      await using after = last.machine;
      const before = after.memory.read(other, 2);
      await until(() => after.memory.read(other, 2) !== before);
    }
  }, 120_000);

  itWithKvm('long', 'starts the other processors of a machine and carries what they send each other, without an exit', async () => {
    const [start, other] = [0x6_0000, 0x7000];
    const code = guest((at) => {
      for (const command of [0x4500, 0x4600 | (start >>> 12)]) at.mov(apic(0x310), 1 << 24).mov(apic(ICR), command);
      at.label('again').mov(r32(RCX), mem(4, { displacement: COUNT })).cmp(r32(RCX), TIMES).jcc(CONDITION_NE, 'go').jmp('done').label('go').cli().mov(apic(0x310), 0).mov(apic(ICR), 0x4000 | VECTOR).sti().hlt().jmp('again').label('done');
    });
    const second = createAssembler(16, { origin: start }).label('round').inc(mem(2, { displacement: other })).jmp('round').bytes();
    for (const threads of [true]) {
      const chip = await run(kernel(threads), code, { processors: 2 });
      await using machine = chip.machine;
      machine.memory.copyIn(start, second);
      await chip.ended;
      expect(counted(chip)).toBe(TIMES);
      await until(() => machine.memory.read(other, 2) > 0);
      expect(exitsOf(chip)).toBeLessThan(5);
    }
  }, 60_000);

  itWithKvm('long', 'wakes each of two processors for itself, by messages that are masked and others', async () => {
    const [start, other] = [0x6_0000, 0x7000];
    const code = guest((at) => {
      for (const command of [0x4500, 0x4600 | (start >>> 12)]) at.mov(apic(0x310), 1 << 24).mov(apic(ICR), command);
      at.sti().label('halt').hlt().jmp('halt');
    });
    // The second one cannot take interrupts: what wakes it is not masked.
    const second = createAssembler(16, { origin: start }).label('round').inc(mem(2, { displacement: other })).cli().hlt().jmp('round').bytes();
    const chip = await run(kernel(true), code, { processors: 2 });
    await using machine = chip.machine;
    machine.memory.copyIn(start, second);
    machine.memory.write(NMI * 4, 4, 0x7010);
    machine.memory.write(0x7010, 1, 0xcf); // IRET
    await until(() => machine.memory.read(other, 2) === 1);
    for (let i = 1; i <= 3; i++) {
      await someTime();
      chip.fabric.message(0xfee0_0000, VECTOR);
      await until(() => counted(chip) === i);
      await someTime();
      chip.fabric.message(0xfee0_1000, 0x400);
      await until(() => machine.memory.read(other, 2) === i + 1);
    }
  }, 60_000);

  itWithKvm('long', 'is refused where it cannot be had', async () => {
    const lent = { reserveBytes: () => 0, createProcessor: () => { throw new Error('never'); }, tearDown: () => undefined };
    const make = (engine: Engine<Loads>, processors: number, more: object = {}) => createMachine({ engine, processors, ramBytes: 2 << 20, interrupts: (services) => createApicFabric(services, { processors, bus: new ApicBus(), ...more }), devices: [] });
    await expect(make(kernel(false), 2)).rejects.toThrow('choose threads, or the chip model');
    await expect(make(kernel(false, { lent: lent as never }), 1)).rejects.toThrow('choose the chip model, or no compounding');
    await expect(make(kernel(false), 1, { suppressesBroadcasts: true })).rejects.toThrow('has no way to keep ends of levels from the I/O APIC; choose the chip model');
    await expect(make(kernel(false), 1, { eoi: 'selective' })).rejects.toThrow('has no end of a chosen vector');
    await expect(make(kernel(false, { cpuWithout: [...processor.cpuWithout ?? [], 'apic'] }), 1)).rejects.toThrow('has none in the kernel');
  });
});
