/**
 * Registers through the page that KVM_RUN answers in (KVM_CAP_SYNC_REGS; KVM API documentation, section 5, `kvm_valid_regs`): they come with
 * an exit and go with the next entry, without a call. Only for exits that need them, since the kernel writes all of them each time.
 */
import { CR0_AM, CR0_PE, FLAG_AC, FLAG_RF, FLAG_TF, FLAG_VIF, FLAG_VIP, FLAG_VM } from '@vm/x86';
import { LENT_CPL, LENT_CR0, LENT_CR3, LENT_CR4, LENT_EFER, LENT_GENERAL, LENT_RFLAGS, LENT_RIP, LENT_SEGMENT_WORDS, LENT_SEGMENTS } from '@vm/trap-compound';
import { REGS, RUN, SEGMENT, SREGS, SYNC_REGS, VCPU_EVENTS } from './kvm-layout-table.ts';
import { NUMBERS } from './kvm-number-table.ts';

const F = RUN.fields;
const VALID = F.kvm_valid_regs[0] >> 2, DIRTY = F.kvm_dirty_regs[0] >> 2;
const REGISTERS_AT = F['s.regs'][0] + SYNC_REGS.fields.regs[0];
const SYSTEM_AT = F['s.regs'][0] + SYNC_REGS.fields.sregs[0];
const EVENTS_AT = F['s.regs'][0] + SYNC_REGS.fields.events[0];
const ALL = NUMBERS.KVM_SYNC_X86_REGS | NUMBERS.KVM_SYNC_X86_SREGS | NUMBERS.KVM_SYNC_X86_EVENTS;

/** In encoding order, in units of 4 bytes from the beginning of the page. */
const GENERAL: readonly number[] = (['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const).map((name) => (REGISTERS_AT + REGS.fields[name][0]) >> 2);
const RIP = (REGISTERS_AT + REGS.fields.rip[0]) >> 2, RFLAGS = (REGISTERS_AT + REGS.fields.rflags[0]) >> 2;
const CR0 = (SYSTEM_AT + SREGS.fields.cr0[0]) >> 2, CR3 = (SYSTEM_AT + SREGS.fields.cr3[0]) >> 2, CR4 = (SYSTEM_AT + SREGS.fields.cr4[0]) >> 2, EFER = (SYSTEM_AT + SREGS.fields.efer[0]) >> 2;
const SEGMENTS: readonly number[] = (['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const).map((name) => SYSTEM_AT + SREGS.fields[name][0]);
/** Segment registers lie together, cs to ss. */
const FIRST_SEGMENT = (SYSTEM_AT + SREGS.fields.cs[0]) >> 2, SEGMENT_WORDS = (6 * SEGMENT.bytes) >> 2;
const STACK_LEVEL = SYSTEM_AT + SREGS.fields.ss[0] + SEGMENT.fields.dpl[0];
/** An event under way, or a shadow: any of these bytes is not 0. */
const EVENTS: readonly number[] = (['exception.injected', 'exception.pending', 'interrupt.injected', 'interrupt.shadow', 'nmi.injected', 'nmi.pending', 'smi.smm', 'smi.pending'] as const).map((name) => EVENTS_AT + VCPU_EVENTS.fields[name][0]);
const AWKWARD_FLAGS = FLAG_TF | FLAG_RF | FLAG_VM | FLAG_VIF | FLAG_VIP;

export class SyncRegisters {
  readonly #u8: Uint8Array;
  readonly #u32: Uint32Array;
  readonly #lastSegments = new Uint32Array(SEGMENT_WORDS);
  readonly #lastControl = new Uint32Array(3);

  constructor(page: ArrayBuffer) {
    this.#u8 = new Uint8Array(page);
    this.#u32 = new Uint32Array(page);
  }

  /** The next exit brings them, or does not. */
  ask(wanted: boolean): void { this.#u32[VALID] = wanted ? ALL : 0; }

  /** The registers in the page are taken with the next entry; until then no call may be asked for them. */
  get isDirty(): boolean { return this.#u32[DIRTY] !== 0; }
  forget(): void { this.#u32[DIRTY] = 0; }

  /**
   * Between two instructions nothing is under way that a few of them could not be executed by: no event, no shadow, no single steps, no
   * virtual-8086 mode, no check of alignment.
   */
  get isPlain(): boolean {
    const u8 = this.#u8;
    for (let i = 0; i < EVENTS.length; i++) if (u8[EVENTS[i] as number] !== 0) return false;
    const flags = this.#u32[RFLAGS] as number;
    return (flags & AWKWARD_FLAGS) === 0 && ((flags & FLAG_AC) === 0 || ((this.#u32[CR0] as number) & CR0_AM) === 0 || this.#level() !== 3);
  }
  #level(): number { return ((this.#u32[CR0] as number) & CR0_PE) === 0 ? 0 : (this.#u8[STACK_LEVEL] as number); }

  get flags(): number { return this.#u32[RFLAGS] as number; }

  /** Into the words of a lent processor. True: those that change seldom have changed since the last time. HOT. */
  give(words: Uint32Array): boolean {
    const u32 = this.#u32;
    for (let i = 0; i < 16; i++) {
      const at = GENERAL[i] as number;
      words[LENT_GENERAL + i * 2] = u32[at] as number;
      words[LENT_GENERAL + i * 2 + 1] = u32[at + 1] as number;
    }
    words[LENT_RIP] = u32[RIP] as number;
    words[LENT_RIP + 1] = u32[RIP + 1] as number;
    words[LENT_RFLAGS] = u32[RFLAGS] as number;
    words[LENT_CR3] = u32[CR3] as number;
    words[LENT_CR3 + 1] = u32[CR3 + 1] as number;
    return this.#hasSystemChanged() && this.#giveSystem(words);
  }
  #hasSystemChanged(): boolean {
    const u32 = this.#u32;
    let changed = false;
    for (let i = 0; i < SEGMENT_WORDS; i++) {
      const word = u32[FIRST_SEGMENT + i] as number;
      if (word !== this.#lastSegments[i]) {
        this.#lastSegments[i] = word;
        changed = true;
      }
    }
    for (let i = 0; i < 3; i++) {
      const word = u32[i === 0 ? CR0 : i === 1 ? CR4 : EFER] as number;
      if (word !== this.#lastControl[i]) {
        this.#lastControl[i] = word;
        changed = true;
      }
    }
    return changed;
  }
  #giveSystem(words: Uint32Array): true {
    const { fields } = SEGMENT;
    const u8 = this.#u8;
    const u32 = this.#u32;
    words[LENT_CR0] = u32[CR0] as number;
    words[LENT_CR4] = u32[CR4] as number;
    words[LENT_EFER] = u32[EFER] as number;
    words[LENT_CPL] = this.#level();
    for (let i = 0; i < 6; i++) {
      const at = SEGMENTS[i] as number;
      const to = LENT_SEGMENTS + i * LENT_SEGMENT_WORDS;
      const byte = (offset: number): number => u8[at + offset] as number;
      const usable = byte(fields.unusable[0]) === 0 && byte(fields.present[0]) !== 0;
      words[to] = byte(fields.selector[0]) | (byte(fields.selector[0] + 1) << 8);
      words[to + 1] = !usable ? 0 : (byte(fields.type[0]) << 8) | (byte(fields.s[0]) << 12) | (byte(fields.dpl[0]) << 13) | (1 << 15) | (byte(fields.avl[0]) << 20) | (byte(fields.l[0]) << 21) | (byte(fields.db[0]) << 22) | (byte(fields.g[0]) << 23);
      words[to + 2] = usable ? (u32[(at + fields.limit[0]) >> 2] as number) : 0;
      words[to + 3] = u32[(at + fields.base[0]) >> 2] as number;
      words[to + 4] = u32[((at + fields.base[0]) >> 2) + 1] as number;
    }
    return true;
  }

  /** What a lent processor changes; the next entry takes it. HOT. */
  take(words: Uint32Array): void {
    const u32 = this.#u32;
    for (let i = 0; i < 16; i++) {
      const at = GENERAL[i] as number;
      u32[at] = words[LENT_GENERAL + i * 2] as number;
      u32[at + 1] = words[LENT_GENERAL + i * 2 + 1] as number;
    }
    u32[RIP] = words[LENT_RIP] as number;
    u32[RIP + 1] = words[LENT_RIP + 1] as number;
    u32[RFLAGS] = words[LENT_RFLAGS] as number;
    u32[DIRTY] = NUMBERS.KVM_SYNC_X86_REGS;
  }
}
