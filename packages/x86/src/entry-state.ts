/** A processor's state at the entry of a program, as a loader describes it. Registers that are not named are 0. */

export interface SegmentState {
  readonly selector: number;
  readonly base: number;
  /** In bytes, inclusive. */
  readonly limit: number;
  /** Bits 8 to 23 of the descriptor's high half, in place, without the limit. */
  readonly attributes: number;
}

export interface EntryState {
  readonly rip: number;
  readonly rflags: number;
  readonly rax: number;
  readonly rbx: number;
  readonly rsi: number;
  readonly rsp: number;
  readonly cs: SegmentState;
  /** DS, ES, SS, FS and GS. */
  readonly data: SegmentState;
  readonly tr: SegmentState;
  readonly ldtr: SegmentState;
  readonly gdt: { readonly base: number; readonly limit: number };
  readonly idt: { readonly base: number; readonly limit: number };
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  /** Default 1: nothing but the x87. */
  readonly xcr0?: number;
}
