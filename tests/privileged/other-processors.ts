/** Where the outcome of a case in `legacy.c` or `long.c` is not the same everywhere, and which is right. */

import { Excuses } from '@vm/testkit/oracle';

export interface KnownDifference {
  /** Lines of the report that it is about. */
  readonly lines: RegExp;
  /** The one way in which a field of such a line may differ; the other fields are compared. Absent: nothing of the line is. */
  readonly field?: (ours: string, other: string) => boolean;
  /** What the other does. */
  readonly what: string;
  /** Where the manual decides, or leaves it to the processor. */
  readonly manual: string;
}

/** One outcome for another. */
const instead = (ours: RegExp, other: RegExp) => (a: string, b: string): boolean => ours.test(a) && other.test(b);
/** A number behind the same text that differs in these bits only. */
const bits = (mask: number) => (a: string, b: string): boolean => {
  const [left, right] = [split(a), split(b)];
  return left !== null && right !== null && left.text === right.text && ((left.value ^ right.value) & ~mask) === 0;
};
/** A number behind the same text that lacks a bit. */
const without = (mask: number) => (a: string, b: string): boolean => {
  const [left, right] = [split(a), split(b)];
  return left !== null && right !== null && left.text === right.text && (left.value & ~mask) === right.value;
};
/** A list of outcomes where one letter stands for another. */
const letter = (ours: string, other: string) => (a: string, b: string): boolean => a.replaceAll(ours, other) === b;

function split(field: string): { readonly text: string; readonly value: number } | null {
  const [, text = '', digits] = /^(.*[=:])([0-9a-f]+)$/.exec(field) ?? [];
  return digits === undefined ? null : { text, value: parseInt(digits, 16) };
}
/** Of the upper of two entries. */
const ACCESSED = 0x2_0000;
/** Error codes of page faults with RSVD, which the other gives without P. */
function reservedWithoutPresent(ours: string, other: string): boolean {
  const [, code = '0', rest] = /^0e\/([0-9a-f]+)(.*)$/.exec(ours) ?? [];
  const value = parseInt(code, 16);
  const wanted = `0e/${(value & ~1).toString(16).padStart(code.length, '0')}${rest}`;
  return (value & 9) === 9 && (other === wanted || bits(ACCESSED)(wanted, other));
}
/** Selectors in error codes, which the other shifts twice. */
function doubledIndex(ours: string, other: string): boolean {
  const [, vector, code = ''] = /^(0[bd])\/([0-9a-f]{4})$/.exec(ours) ?? [];
  const value = parseInt(code, 16);
  return other === `${vector}/${(((value & ~7) << 1) | (value & 7)).toString(16).padStart(4, '0')}`;
}
/** The accessed bit at the end of a field. */
const accessed = (ours: string, other: string): boolean => ours.startsWith('40:') && ours.endsWith('1') && other === `${ours.slice(0, -1)}0`;
/** CS, flags, SS, stack pointer, accessed bit: SS is null, and the bit is not set. */
const nullStack = (ours: string, other: string): boolean => /^40:.{17}$/.test(ours) && other === `${ours.slice(0, 12)}000${ours[15]}${ours.slice(16, 19)}0`;

/** Bochs 2.7. */
export const BOCHS: readonly KnownDifference[] = [
  { lines: /^task 0/, what: 'sets the upper halves of the general registers when a task comes from a 16-bit TSS', manual: 'SDM vol. 3, section 8.6: only 16 bits are there to load' },
  { lines: /^step . twoss/, what: 'lets the second MOV SS in a row be stepped', manual: 'SDM vol. 3, section 6.8.3: only the first is sure to hold traps back' },
  { lines: /^step b /, what: 'reports a breakpoint on the next instruction together with the single step', manual: 'SDM vol. 3, section 17.2.3: B0 to B3 may be set for conditions that are met without an exception' },
  { lines: /^step a int1/, what: 'leaves DR7.GD as it is at INT1', manual: 'SDM vol. 3, section 17.2.4: entering the handler of a debug exception clears it' },
  { lines: /^canonical (retf|iret|cx16|lgdt)/, what: 'reads CS from the stack before RIP, the base of a table before its limit, the lower half of 16 bytes before the upper', manual: 'SDM vol. 3, section 6.9: the order of the faults of one instruction is the processor\'s' },
  { lines: /^badgate 2/, what: 'names TSS.RSP\'s place in the error code of a stack that is at no address', manual: 'SDM vol. 2, CALL: #SS(0)' },
  { lines: /^step 1 syscall/, what: 'steps SYSCALL although the mask clears TF', manual: 'APM vol. 3, SYSCALL: the mask is applied before the next instruction' },
  { lines: /^step . rep /, field: (ours, other) => ours === `${other}R`, what: 'leaves RF clear in the image of a trap between two elements of a REP', manual: 'SDM vol. 3, section 17.3.1.1' },
  { lines: /^msr 00000174/, field: instead(/^is=[0-9a-f]{16}$/, /^is=0{8}[0-9a-f]{8}$/), what: 'keeps 32 bits of IA32_SYSENTER_CS', manual: 'SDM vol. 3, section 5.8.7: bits 16 to 63 are not used' },
];

const RF = 0x1_0000;
const VIF_VIP = 0x18_0000;
/** Bits of CR0 that mean nothing. */
const CR0_RESERVED = 0x1ffa_ffc0;
const FAULT_OR_DOUBLE = /^(08|0d)\/0000@/;

/** QEMU 7.2's translator. Where Bochs is of the same opinion as this processor, that is said by the test with Bochs. */
export const QEMU: readonly KnownDifference[] = [
  { lines: /^limit /, field: letter('G', '.'), what: 'does not look at segment limits, nor at the direction of expansion', manual: 'SDM vol. 3, section 5.3' },
  { lines: /^stack /, field: instead(/^0c\/0000$/, /^40(:[0-9a-f]{8})?$/), what: 'does not look at the limits of stacks', manual: 'SDM vol. 3, section 5.3' },
  { lines: /^inner .04 /, field: instead(/^0c\/0050@00$/, /^0a\/0050@00$/), what: 'raises #TS for an inner stack that is not present', manual: 'SDM vol. 2, CALL: #SS' },
  { lines: /^inner .0[9ab] /, field: instead(/^(0c\/0050@00|cs=003b|ss=0043)$/, /^(40|cs=0019|ss=0051)$/), what: 'does not ask whether what it pushes fits into the inner stack', manual: 'SDM vol. 2, CALL: #SS' },
  { lines: /^gate [01][0-9a-f]{2}[9bd]c /, field: instead(/^40:005[1-3]00(21|32|43):/, /^40:005[0-2]00(10|32|43):/), what: 'takes the level of a conforming segment that a call gate leads to', manual: 'SDM vol. 3, section 5.8.4' },
  { lines: /^gate ec0 /, field: instead(/^40:00430023:/, /^40:00400023:/), what: 'takes the level of a conforming segment that a call gate leads to', manual: 'SDM vol. 3, section 5.8.4' },
  { lines: /^gate ..0 /, field: instead(/^0b\/0040$/, /^0d\/0040$/), what: 'raises #GP where a jump through a gate leads to a segment that is not present', manual: 'SDM vol. 2, JMP: #NP' },
  { lines: /^gate [9bdf][89a-f]0 /, field: instead(/^0d\/0000$/, /^0d\/0050$/), what: 'names the segment when a far call goes beyond its limit', manual: 'SDM vol. 2, CALL: #GP(0)' },
  { lines: /^interrupt /, field: accessed, what: "leaves the accessed bit of the handler's code segment", manual: 'SDM vol. 3, section 3.4.5.1' },
  { lines: /^interrupt /, field: doubledIndex, what: 'doubles the index in error codes of long mode', manual: 'SDM vol. 3, section 6.13' },
  { lines: /^interrupt [8ace][ef] /, field: nullStack, what: 'makes SS null at the switch to an interrupt stack without a change of level', manual: 'SDM vol. 3, section 6.14.4' },
  {
    lines: /^task [0-3]{2}(03|04|05|06|08|09|0a|0b|0c|15|16|17) /,
    field: instead(/^(0[1ab]\/....|cs=00..|ip=00000000|fl=1?[04]002|dr7=04aa|dr6=ffff8ff0)$/, /^(40\/0000|cs=0008|ip=[0f]{4}....|fl=0[04]002|dr7=04ff|dr6=ffff0ff0)$/),
    what: 'raises faults of the new task in the old one or not at all, and knows no T bit', manual: 'SDM vol. 3, sections 8.3 and 8.2.1',
  },
  { lines: /^task [0-3]{2}10 /, field: instead(/^0d\/0064$/, /^0a\/0064$/), what: 'raises #TS where a task gate names a task of the local table', manual: 'SDM vol. 2, CALL: #GP(task gate selector)' },
  { lines: /^v86 1.. (cli|sti|pushf|popf|iret|int41) /, what: 'knows CR4.VME only in part', manual: 'SDM vol. 3, sections 21.2 and 21.3' },
  { lines: /^v86 1.3 /, what: 'runs on while VIF and VIP are both set', manual: 'SDM vol. 3, section 21.3.3.2' },
  { lines: /^(task|v86|pvi|flags|iret|sysret|syscall) /, field: without(RF), what: 'does not set RF in the image of a fault', manual: 'SDM vol. 3, section 17.3.1.1' },
  { lines: /^(flags|iflags|pvi 0)/, field: bits(RF | VIF_VIP), what: 'keeps VIF and VIP at POPF and IRET of level 0, and takes RF from POPF', manual: 'SDM vol. 2, POPF and IRET' },
  { lines: /^pvi 1/, what: 'has no protected-mode virtual interrupts', manual: 'SDM vol. 3, section 21.4' },
  { lines: /^cr0 /, field: bits(CR0_RESERVED), what: 'keeps reserved bits of CR0', manual: 'SDM vol. 3, section 2.5: attempts to set them are ignored' },
  { lines: /^cr0 (1d|pair 0) /, field: instead(/^(0d\/0000@00|is=)/, /^(40|is=)/), what: 'takes NW without CD', manual: 'SDM vol. 2, MOV to control registers: #GP' },
  { lines: /^dr7 0[cef] /, field: bits(0xd000), what: 'keeps reserved bits of DR7, and shows one in DR6', manual: 'SDM vol. 3, section 17.2.4' },
  { lines: /^(dr7 0d|dr4 [01]1|register 60d) /, what: 'does not know DR7.GD', manual: 'SDM vol. 3, section 17.2.4' },
  { lines: /^align 31 /, field: letter('A', '.'), what: 'does not check alignment', manual: 'SDM vol. 3, section 6.15, interrupt 17' },
  { lines: /^page/, field: bits(ACCESSED), what: 'sets accessed bits above an entry that is not present', manual: 'SDM vol. 3, section 4.8: either is allowed' },
  { lines: /^(page|pagepae|paereserved|reserved|page4m|nonx) /, field: reservedWithoutPresent, what: 'leaves P out of the error code for reserved bits', manual: 'SDM vol. 3, section 4.7: RSVD is set only together with P' },
  { lines: /^paereserved [01]2/, field: instead(/^0d\/0000@00$/, /^40$/), what: 'loads page-directory pointers with reserved bits', manual: 'SDM vol. 3, section 4.4.1' },
  { lines: /^step . (sti|lss|popss) /, what: 'holds back traps after STI and LSS as after MOV SS', manual: 'SDM vol. 3, section 6.8.3' },
  { lines: /^step . int1 /, what: 'INT1 is no instruction', manual: 'SDM vol. 2, INT n' },
  { lines: /^step . rep /, field: (ours, other) => ours === `${other}R`, what: 'leaves RF clear in the image of a trap between two elements of a REP', manual: 'SDM vol. 3, section 17.3.1.1' },
  { lines: /^canonical /, field: (ours, other) => ours.startsWith('0c/0000@') && ours.replace('0c/0000@', '') === other.replace(FAULT_OR_DOUBLE, ''), what: 'raises #GP, and with it often a double fault, where the stack segment asks for #SS', manual: 'SDM vol. 1, section 3.3.7.1' },
  { lines: /^canonical /, field: instead(/^0[cd]\/0000@/, /^0e\/000[0246]@..!00007fffffffff[0-9a-f]{2}$/), what: 'translates the first page of an access that ends at no address', manual: 'SDM vol. 3, section 6.9: the order of the faults of one instruction is the processor\'s' },
  { lines: /^canonical cx16/, field: instead(/^0e\/000[26]@..![0-9a-f]{15}8$/, /^0e\/000[04]@..![0-9a-f]{15}0$/), what: 'reads both halves of 16 bytes before it asks whether they can be written', manual: 'SDM vol. 3, section 6.9, as above' },
  { lines: /^canonical clflush/, field: instead(/^0[de]\//, /^40$/), what: 'does nothing at CLFLUSH, not even with an address that is none', manual: 'SDM vol. 2, CLFLUSH' },
  { lines: /^canonical (ret|jmp|call|iret)/, field: instead(/^0d\/0000@00-*$/, /^0d\/0000@[0-9a-f]{16}-*$/), what: 'goes to the address that is none before it faults', manual: 'SDM vol. 2, JMP, CALL, RET and IRET: #GP(0)' },
  { lines: /^segment (lar|lsl) [0-9a-f][13-7]0 /, field: instead(/^40:00000000$/, /^40:/), what: 'shows system descriptors to LAR and LSL that long mode does not have', manual: 'SDM vol. 2, LAR and LSL' },
  { lines: /^segment (jmp|call|retf|iret) ..2 /, field: instead(/^0d\/0040$/, /^(0b\/0040|0d\/0020|40:)/), what: 'takes code segments with L and D both set', manual: 'SDM vol. 3, section 5.2.1' },
  { lines: /^null 10[123] /, field: instead(/^(0d\/0000@00|ss=0010)$/, /^(40|ss=000[123])$/), what: 'takes a null stack selector whose RPL is not the level', manual: 'SDM vol. 2, MOV' },
  { lines: /^upper /, field: instead(/^0d\/0040@00$/, /^40$/), what: 'ignores the type of the upper half of 16-byte descriptors', manual: 'SDM vol. 2, LLDT' },
  { lines: /^badgate [01] /, what: 'goes through a call gate to an address that is none before it faults', manual: 'SDM vol. 2, CALL: #GP(0)' },
  { lines: /^register /, field: instead(/^0d\/0000@00$/, /^40$/), what: 'takes reserved bits of control registers', manual: 'SDM vol. 3, section 2.5' },
  { lines: /^msr (c000008[23]|c000010[012])(2f|3.) /, what: 'takes addresses that are none', manual: 'SDM vol. 2, WRMSR: #GP' },
  { lines: /^msr (c0000080|00000277).. /, what: 'takes reserved bits of EFER, and memory types that there are not', manual: 'SDM vol. 3, sections 2.2.1 and 12.12.2' },
  { lines: /^msr 00000174/, field: instead(/^is=[0-9a-f]{12}0000$/, /^is=0{16}$/), what: 'keeps 16 bits of IA32_SYSENTER_CS', manual: 'SDM vol. 3, section 5.8.7: bits 16 to 63 are not used' },
  { lines: /^syscall 1/, field: bits(0x8d5 | 0x400 | 0x300), what: 'clears arithmetic flags that the mask has not, and sets others', manual: 'SDM vol. 2, SYSCALL' },
  { lines: /^sysret 1/, field: bits(0x1f_0000), what: 'takes other flags than those that R11 and the mask have', manual: 'SDM vol. 2, SYSRET' },
];

export interface Comparison {
  /** Lines that are not in the other report, without those that are known. */
  readonly surprises: readonly string[];
  /** Lines that are the same but for known fields, or a surprise. */
  readonly compared: number;
  /** Lines of which at least a field was excused, by reason. */
  readonly excused: Excuses;
}

export function compareReports(ours: string, other: string, known: readonly KnownDifference[]): Comparison {
  const theirs = other.split('\n');
  const excused = new Excuses();
  const surprises: string[] = [];
  let compared = 0;
  for (const [i, line] of ours.split('\n').entries()) {
    const there = theirs[i];
    if (there === undefined) break;
    const reasons = line === there ? [] : reasonsFor(line, there, known.filter(({ lines }) => lines.test(line)));
    for (const { what, manual } of reasons ?? []) excused.add(`${what}; ${manual}`, line.split(' ')[0] ?? '');
    if (reasons?.some(({ field }) => field === undefined) === true) continue;
    compared++;
    if (reasons === null) surprises.push(`ours:  ${line}\nother: ${there}`);
  }
  return { surprises, compared, excused };
}

/** All that is known of a line that differs; null: there is more. */
function reasonsFor(ours: string, other: string, known: readonly KnownDifference[]): readonly KnownDifference[] | null {
  const whole = known.find(({ field }) => field === undefined);
  if (whole !== undefined) return [whole];
  const [fields, theirs] = [ours.split(' '), other.split(' ')];
  if (fields.length !== theirs.length) return null;
  const reasons = new Set<KnownDifference>();
  for (const [i, field] of fields.entries()) {
    if (field === theirs[i]) continue;
    const reason = known.find((one) => one.field?.(field, theirs[i]!) === true);
    if (reason === undefined) return null;
    reasons.add(reason);
  }
  return [...reasons];
}
