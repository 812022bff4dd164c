/** A monitor on a processor with nothing around it, one instruction at a time: events come exactly where a test wants them. */
import { buildMonitor, type MonitorImage, type MonitorOptions } from '@vm/longmode-switch';
import type { InterruptPort } from '@vm/core/engine';
import { addressOf, CONDITION_NE, createAssembler, mem, r32, RAX, RBP, RBX, RCX, RDI, RDX, RSI } from '@vm/x86';
import { FRAME, NMIS_HELD } from '../../packages/longmode-switch/src/switch-area.ts';
import { FLAT_MEMORY, HOST_BASE, SWITCH_PAGE } from '../../packages/longmode-switch/src/monitor/memory-map.ts';
import * as state from '../../packages/vcpu-wasm/src/cpu-state.ts';
import { FlatMachine } from '../../packages/vcpu-wasm/src/flat-machine.ts';
import { REAL_ROUNDS_AT } from './real-guest.ts';

/** Not the timer's: its handler counts, and goes back. */
export const OTHER_VECTOR = 0x21;
const ROUNDS_AT = FLAT_MEMORY + 0x2000;
const WRONG_AT = FLAT_MEMORY + 0x2004;

/** Asks for something again and again, and looks whether its registers are what they were. */
export function checkingGuest(): Uint8Array {
  const a = createAssembler(32, { origin: FLAT_MEMORY });
  const patterns = [[RBX, 0x20], [RCX, 0x1234_5678], [RDX, 0x9abc_def0], [RSI, 0x0f1e_2d3c], [RDI, 0x4b5a_6978], [RBP, 0x8796_a5b4]] as const;
  a.label('loop');
  for (const [register, pattern] of patterns) a.mov(r32(register), pattern);
  a.mov(r32(RAX), 1).op('stc').int(0x30).jcc(3, 'wrong');
  for (const [register, pattern] of patterns) a.cmp(r32(register), pattern).jcc(CONDITION_NE, 'wrong');
  a.cmp(r32(RAX), 1).jcc(CONDITION_NE, 'wrong').inc(mem(4, { displacement: ROUNDS_AT })).jmp('loop').label('wrong').inc(mem(4, { displacement: WRONG_AT })).mov(r32(RAX), addressOf('loop')).jmp(r32(RAX));
  return a.bytes();
}

export class SteppedMonitor {
  readonly image: MonitorImage;
  readonly machine: FlatMachine;
  readonly #roundsAt: number;
  #raised = 0;
  #taken = 0;
  #before = '';
  /** Excursions that did not leave the 64-bit side as it was. */
  changed = 0;
  /** And those that did. */
  kept = 0;

  constructor(options: Partial<MonitorOptions> = {}) {
    this.image = buildMonitor({ guest: { kind: 'flat', bytes: checkingGuest() }, excursion: 'always', rounds: 1, ...options });
    this.#roundsAt = options.guest?.kind === 'real' ? REAL_ROUNDS_AT : ROUNDS_AT;
    this.machine = new FlatMachine('protected', { ramBytes: 16 << 20, tables: false, interrupts: this.#port() });
    this.machine.bytes.set(this.image.bytes, this.image.loadAddress);
    this.machine.enter(this.image.loadAddress);
  }

  #port(): InterruptPort {
    return {
      isPending: () => this.#raised > this.#taken, acknowledge: () => { this.#taken++; return OTHER_VECTOR; }, window: () => -1, readRegister: () => 0, writeRegister: () => undefined,
      readModelRegister: () => false, low: 0, high: 0, writeModelRegister: () => false, priority: 0,
    };
  }

  /** Runs this many instructions; false when the processor has given up. */
  step(instructions = 1): boolean {
    const { vcpu } = this.machine;
    const before = vcpu.retired;
    vcpu.run(instructions);
    return vcpu.retired - before === instructions;
  }
  raiseNmi(): void { this.machine.vcpu.notify('nmi', 0); }
  raiseInterrupt(): void {
    this.#raised++;
    this.machine.vcpu.signal();
  }
  count(name: keyof MonitorImage['variables']): number { return this.machine.view.getUint32(this.image.variables[name], true); }
  get rounds(): number { return this.machine.view.getUint32(this.#roundsAt, true); }
  get wrong(): number { return this.machine.view.getUint32(this.#roundsAt + 4, true); }
  get held(): number { return this.machine.view.getUint32(SWITCH_PAGE + 0x1000 + NMIS_HELD, true); }
  get vector(): number { return this.machine.view.getUint32(SWITCH_PAGE + 0x1000 + FRAME + 8 * 4, true); }
  /** Physical address of the instruction that comes next, when the 64-bit side runs; else -1. */
  get hostAddress(): number {
    const s = this.machine.vcpu.state;
    const rip = (BigInt(s.high(state.RIP)) << 32n) | BigInt(s.get(state.RIP));
    return rip >= HOST_BASE ? Number(rip - HOST_BASE) : -1;
  }
  /** One instruction; at the ends of an excursion all of the 64-bit side's registers are compared. */
  watchedStep(): boolean {
    const { first, last } = this.image.excursionCode;
    if (this.hostAddress === first) this.#before = this.host();
    if (!this.step()) return false;
    if (this.hostAddress === last) {
      // An NMI in the guest blocks others until its handler returns, which is after that.
      const after = this.vector === 2 ? this.host().replace('"nmiBlocked":true', '"nmiBlocked":false') : this.host();
      if (after === this.#before) this.kept++;
      else this.changed++;
    }
    return true;
  }
  /** Physical address of the next instruction, and the bits of its code: in the page and in the guest's memory it is the linear one. */
  place(): { readonly address: number; readonly bits: 32 | 64 } {
    const host = this.hostAddress;
    const s = this.machine.vcpu.state;
    const { vcpu } = this.machine;
    return { address: host >= 0 ? host : s.get(state.RIP), bits: vcpu.segments.is64Bit() ? 64 : 32 };
  }
  /** Goes on to an instruction of the 64-bit side. */
  runTo(address: number, most = 100_000): void {
    for (let i = 0; i < most; i++) {
      if (this.hostAddress === address) return;
      if (!this.watchedStep()) break;
    }
    throw new Error(`the monitor does not come to 0x${address.toString(16)}: ${this.machine.vcpu.ripText()}`);
  }
  /** Everything that the processor is, but for its place in the code. */
  host(): string {
    const saved = this.machine.vcpu.save() as { readonly wide: Record<string, unknown> };
    return JSON.stringify(saved, (key, value: unknown) => (key === 'rip' || key === 'retired' || key === 'translations' ? 0 : typeof value === 'bigint' ? String(value) : value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value));
  }
}
