/** The state of a processor for people. */
import * as state from './cpu-state.ts';
import type { StateView } from './state-view.ts';

/** The part of a processor that is shown. */
export interface ShownProcessor {
  readonly state: StateView;
  readonly flags: { read(): number };
}

const REGISTERS = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
const ORDER = [0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15]; // as manuals and debuggers list them
const SEGMENTS = [['cs', state.CS], ['ss', state.SS], ['ds', state.DS], ['es', state.ES], ['fs', state.FS], ['gs', state.GS], ['ldtr', state.LDTR], ['tr', state.TR]] as const;
const CONTROLS = [['cr0', state.CR0], ['cr2', state.CR2], ['cr3', state.CR3], ['cr4', state.CR4], ['efer', state.EFER]] as const;

/** Registers, flags, segments and control registers, on some fifteen lines. */
export function describeProcessor({ state: view, flags }: ShownProcessor): string {
  const wide = (offset: number): string => word(view.high(offset)) + word(view.get(offset));
  const lines = [`rip ${word(view.selector(state.CS)).slice(4)}:${wide(state.RIP)}  rflags ${word(flags.read())}  cpl ${view.get(state.CPL)}`];
  for (let i = 0; i < ORDER.length; i += 4) {
    lines.push(ORDER.slice(i, i + 4).map((register) => `${REGISTERS[register]!.padEnd(3)} ${wide(state.GPR + register * 8)}`).join('  '));
  }
  for (const [name, segment] of SEGMENTS) {
    const base = word(view.baseHigh(segment)) + word(view.base(segment));
    lines.push(`${name.padEnd(4)} ${word(view.selector(segment)).slice(4)}  base ${base}  limit ${word(view.limit(segment))}  attributes ${word(view.attributes(segment))}`);
  }
  lines.push(`gdtr base ${wide(state.GDTR_BASE)}  limit ${word(view.get(state.GDTR_LIMIT)).slice(4)}`);
  lines.push(`idtr base ${wide(state.IDTR_BASE)}  limit ${word(view.get(state.IDTR_LIMIT)).slice(4)}`);
  lines.push(CONTROLS.map(([name, offset]) => `${name} ${wide(offset)}`).join('  '));
  return lines.join('\n');
}

function word(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}
