/** Where the outcome of a case in `legacy.c` or `long.c` is not the same everywhere, and which is right. */

import { Excuses } from '@vm/testkit/oracle';

export interface KnownDifference {
  /** Lines of the report that it is about. */
  readonly lines: RegExp;
  /** What the other does. */
  readonly what: string;
  /** Where the manual decides, or leaves it to the processor. */
  readonly manual: string;
}

/** Bochs 2.7. */
export const BOCHS: readonly KnownDifference[] = [
  { lines: /^task 0/, what: 'sets the upper halves of the general registers when a task comes from a 16-bit TSS', manual: 'SDM vol. 3, section 8.6: only 16 bits are there to load' },
  { lines: /^(v86 1.3|pvi 1.3)/, what: 'raises #GP before each instruction while VIF and VIP are both set', manual: 'SDM vol. 3, section 21.3.3: STI, POPF and IRET raise it when they set VIF' },
  { lines: /^step . twoss/, what: 'lets the second MOV SS in a row be stepped', manual: 'SDM vol. 3, section 6.8.3: only the first is sure to hold traps back' },
  { lines: /^step b /, what: 'reports a breakpoint on the next instruction together with the single step', manual: 'SDM vol. 3, section 17.2.3: B0 to B3 may be set for conditions that are met without an exception' },
  { lines: /^step a int1/, what: 'leaves DR7.GD as it is at INT1', manual: 'SDM vol. 3, section 17.2.4: entering the handler of a debug exception clears it' },
  { lines: /^canonical (retf|iret|cx16|lgdt)/, what: 'reads CS from the stack before RIP, the base of a table before its limit, the lower half of 16 bytes before the upper', manual: 'SDM vol. 3, section 6.9: the order of the faults of one instruction is the processor\'s' },
  { lines: /^badgate 2/, what: 'names TSS.RSP\'s place in the error code of a stack that is at no address', manual: 'SDM vol. 2, CALL: #SS(0)' },
  { lines: /^step 1 syscall/, what: 'steps SYSCALL although the mask clears TF', manual: 'APM vol. 3, SYSCALL: the mask is applied before the next instruction' },
  { lines: /^msr 00000174/, what: 'keeps 32 bits of IA32_SYSENTER_CS', manual: 'SDM vol. 3, section 5.8.7: bits 16 to 63 are not used' },
];

/** QEMU 7.2's translator. Where Bochs is of the same opinion as this processor, that is said by the test with Bochs. */
export const QEMU: readonly KnownDifference[] = [
  { lines: /^(limit|stack|inner) /, what: 'does not look at segment limits, nor at the direction of expansion; #TS for a stack segment that is not present', manual: 'SDM vol. 3, sections 5.3 and 5.5; vol. 2, CALL: #SS' },
  { lines: /^gate [01][0-9a-f]{2}.[cd]$|^gate [01][0-9a-f]{4}/, what: 'changes the privilege level when a gate leads to conforming code', manual: 'SDM vol. 3, section 5.8.4' },
  { lines: /^gate [0-9a-f]{3} /, what: 'takes a 64-bit interrupt gate for a wrong selector, #GP before #NP', manual: 'SDM vol. 2, CALL' },
  { lines: /^interrupt /, what: 'leaves the accessed bit of the handler\'s code segment; doubles the index in error codes of long mode', manual: 'SDM vol. 3, sections 3.4.5.1 and 6.13' },
  { lines: /^task /, what: 'raises faults of the new task in the old one or not at all, knows no T bit, sets no RF', manual: 'SDM vol. 3, section 8.3' },
  { lines: /^(v86|pvi|flags|iflags) /, what: 'does not set RF in the image of a fault, keeps VIF and VIP at POPF, has no PVI', manual: 'SDM vol. 3, sections 17.3.1.1 and 21.4; vol. 2, POPF' },
  { lines: /^cr0 /, what: 'keeps reserved bits of CR0', manual: 'SDM vol. 3, section 2.5: attempts to set them are ignored' },
  { lines: /^dr[47] /, what: 'knows neither DR7.GD nor the reserved bits of DR7', manual: 'SDM vol. 3, sections 17.2.2 and 17.2.4' },
  { lines: /^align /, what: 'checks the alignment of some accesses only', manual: 'SDM vol. 3, section 6.15, interrupt 17' },
  { lines: /^page/, what: 'sets accessed bits above an entry that is not present', manual: 'SDM vol. 3, section 4.8: either is allowed' },
  { lines: /^(paereserved|reserved|page4m|nonx) /, what: 'leaves P out of the error code for reserved bits', manual: 'SDM vol. 3, section 4.7: RSVD is set only together with P' },
  { lines: /^step /, what: 'holds back traps after STI and LSS as after MOV SS; INT1 is no debug exception', manual: 'SDM vol. 3, section 6.8.3; vol. 2, INT n' },
  { lines: /^canonical /, what: 'raises #GP where the stack segment asks for #SS, and translates the first page before the second is looked at', manual: 'SDM vol. 1, section 3.3.7.1; the processors that tests ran on do' },
  { lines: /^segment /, what: 'shows system descriptors to LAR and LSL that long mode does not have', manual: 'SDM vol. 2, LAR and LSL' },
  { lines: /^(null|upper|badgate|iret) /, what: 'loads any null stack selector, ignores the type of the upper half of 16-byte descriptors', manual: 'SDM vol. 2, MOV; vol. 3, section 5.8.3.1' },
  { lines: /^(syscall|sysret) /, what: 'loses arithmetic flags and keeps others', manual: 'SDM vol. 2, SYSCALL and SYSRET' },
  { lines: /^(register|privileged|msr) /, what: 'keeps reserved bits of control registers and model-specific registers', manual: 'SDM vol. 3, section 2.5' },
];

export interface Comparison {
  /** Lines that are not in the other report, without those that are known. */
  readonly surprises: readonly string[];
  /** Lines that are the same, or a surprise. */
  readonly compared: number;
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
    const difference = line === there ? undefined : known.find(({ lines }) => lines.test(line));
    if (difference !== undefined) {
      excused.add(`${difference.what}; ${difference.manual}`, line.split(' ')[0] ?? '');
      continue;
    }
    compared++;
    if (line !== there) surprises.push(`ours:  ${line}\nother: ${there}`);
  }
  return { surprises, compared, excused };
}
