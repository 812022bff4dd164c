import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device, type DeviceModule, type Machine } from '@vm/core';
import { EXIT_HALT } from '@vm/core/exit';
import { prepareEntry } from '@vm/pc';
import { kvmEngine, kvmLacks, type KvmVcpu, probeKvm } from '@vm/vcpu-kvm';
import { type Assembler, CONDITION_NE, createAssembler, mem, r16, r32, RAX, RBX, RCX, RDX } from '@vm/x86';
import { CALLS } from '../packages/vcpu-kvm/src/kvm-number-table.ts';
import { libc } from '../packages/vcpu-kvm/src/libc.ts';
import { blockRows } from './kvm-blocks.ts';
import { interruptRows } from './kvm-interrupts.ts';
import { KVM_LOOP } from './kvm-loop.ts';
import { type Benchmark, median, pairedRow, type Row, row } from './registry.ts';

const ENTRY = 0x10_0000;
const MIB = 1 << 20;
const RAM_BYTES = 2 * MIB;
const PORT = 0x60;
const WINDOW = 0xd000_0000;
const MOST_ADDED_NANOS = 1500;
const CAPABILITY = 136; // KVM_CAP_IMMEDIATE_EXIT, for a call that does next to nothing

interface Access {
  readonly name: string;
  write(code: Assembler): void;
}
const ACCESSES: readonly Access[] = [
  { name: 'a port read', write: (code) => void code.in(r32(RAX), r16(RDX)) },
  { name: 'a port written', write: (code) => void code.out(r16(RDX), r32(RAX)) },
  { name: 'a register in memory read', write: (code) => void code.mov(r32(RAX), mem(4, { base: RBX })) },
  { name: 'a register in memory written', write: (code) => void code.mov(mem(4, { base: RBX }), r32(RAX)) },
];

/** What an access of a guest under KVM costs in TypeScript over the same loop in C. */
export const kvm: Benchmark = {
  summary: "an access of a guest under the host's KVM, to a device in TypeScript and back, against the same loop in C; sequences of accesses with blocks behind exits and without; interrupts with the kernel's local APIC and its model",
  run: async ({ quick }) => {
    const { modes, text } = probeKvm();
    if (!modes.long) throw new Error(text);
    const folder = mkdtempSync(join(tmpdir(), 'vm-bench-kvm-'));
    try {
      const program = join(folder, 'loop');
      writeFileSync(`${program}.c`, KVM_LOOP);
      execFileSync('gcc', ['-O2', '-Wall', '-o', program, `${program}.c`]);
      const rows: Row[] = [];
      for (const access of ACCESSES) rows.push(...(await compare(access, program, folder, quick)));
      return [...rows, callRow(program, quick), ...(await blockRows(quick)), ...(await interruptRows(quick))];
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

async function compare(access: Access, program: string, folder: string, quick: boolean): Promise<Row[]> {
  const pairs = quick ? 3 : 15;
  const rounds = quick ? 500 : 5000;
  const loop = await Loop.create(access, rounds);
  const state = join(folder, 'state');
  try {
    const [ours, theirs] = [[] as number[], [] as number[]];
    for (let run = 0; run <= pairs; run++) {
      ours.push(loop.run());
      loop.writeState(state);
      theirs.push(Number(execFileSync(program, [state, String(rounds)], { encoding: 'utf8' })));
    }
    ours.shift(); // V8 compiles
    theirs.shift();
    const added = median(ours.map((time, i) => time - theirs[i]!));
    return [
      pairedRow(access.name, 'ns', ours, theirs, 'C'),
      { ...row(`${access.name}: what TypeScript adds, median of the pairs`, 'ns', pairs, added), target: { most: MOST_ADDED_NANOS } },
    ];
  } finally {
    await loop.machine[Symbol.asyncDispose]();
  }
}

/** A call of KVM's that does nothing but come and go: what koffi takes of the above. */
function callRow(program: string, quick: boolean): Row {
  const calls = quick ? 20_000 : 200_000;
  const runs = quick ? 3 : 15;
  const c = libc();
  const fd = c.open('/dev/kvm');
  const [ours, theirs] = [[] as number[], [] as number[]];
  for (let run = 0; run <= runs; run++) {
    const begin = performance.now();
    for (let i = 0; i < calls; i++) c.ioctl(fd, CALLS.KVM_CHECK_EXTENSION, CAPABILITY);
    ours.push(((performance.now() - begin) * 1e6) / calls);
    theirs.push(Number(execFileSync(program, ['calls', String(calls)], { encoding: 'utf8' })));
  }
  c.close(fd);
  return pairedRow('a call through koffi that does nothing', 'ns', ours.slice(1), theirs.slice(1), 'C');
}

/** A guest that does one access again and again. */
class Loop {
  readonly machine: Machine<KvmVcpu>;
  readonly #rounds: number;

  private constructor(machine: Machine<KvmVcpu>, rounds: number) {
    this.machine = machine;
    this.#rounds = rounds;
  }

  static async create(access: Access, rounds: number): Promise<Loop> {
    const code = createAssembler(64, { origin: ENTRY }).mov(r32(RCX), rounds).mov(r32(RDX), PORT).mov(r32(RBX), WINDOW | 0).label('round');
    access.write(code);
    code.dec(r32(RCX)).jcc(CONDITION_NE, 'round').hlt();
    let answers = 0;
    const counter: DeviceModule<void, 'pio' | 'mmio'> = {
      manifest: { abi: 1, id: 'bench.counter', version: '0.0.0', state: 0, needs: ['pio', 'mmio'] },
      create: ({ pio, mmio }) => {
        const handler = { read: () => (answers = (answers + 1) >>> 0), write: (_offset: number, _size: number, value: number) => void (answers = value) };
        pio.claim('port', 4, handler).map(PORT);
        mmio.claim('window', 4096, handler).map(WINDOW);
        return {};
      },
    };
    const cpuModel = 'x86-64-v1';
    const machine = await createMachine<KvmVcpu>({
      engine: kvmEngine({ cpuModel, cpuWithout: kvmLacks({ cpuModel }) }), ramBytes: RAM_BYTES, interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [device('counter', counter)],
      load: ({ memory, vcpu }) => {
        memory.copyIn(ENTRY, Uint8Array.of(0xf4));
        vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
      },
    });
    await machine.powerUp();
    await machine.pause();
    machine.memory.copyIn(ENTRY, code.bytes());
    return new Loop(machine, rounds);
  }

  /** Nanoseconds an access. */
  run(): number {
    const { memory, vcpu } = this.machine;
    vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
    const begin = performance.now();
    if (vcpu.run(1e12) !== EXIT_HALT) throw new Error('the program did not come to its end');
    return ((performance.now() - begin) * 1e6) / this.#rounds;
  }

  /** RAM of the machine and the registers that the program begins with, for the loop in C. */
  writeState(path: string): void {
    const { memory, vcpu } = this.machine;
    vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
    const ram = new Uint8Array(RAM_BYTES);
    memory.copyOut(0, ram);
    writeFileSync(path, Buffer.concat([vcpu.kernelState(), ram]));
  }
}
