import { describe, expect, it } from 'vitest';
import { ENTRIES, ENTRY_INVALID, GROUPS } from './decode-table.ts';
import { decode, DECODE_OK } from './decoder.ts';
import { createInstruction } from './instruction.ts';
import { parseRows, VEX_MAPS } from './opcode-row.ts';
import type { Row } from './opcode-row.ts';
import { METHOD_VECTOR_INDEX, METHOD_VVVV, METHOD_XMM_VVVV } from './operand.ts';
import { ROWS } from './rows.ts';

const hasVvvv = (row: Row): boolean => row.operands.some(({ method }) => method === METHOD_VVVV || method === METHOD_XMM_VVVV);

describe('the opcode tables', () => {
  it('number their rows by their place', () => {
    expect(ROWS.map((row) => row.id)).toEqual(ROWS.map((_row, index) => index));
  });

  it('give every row at least one encoding (a table with two rows for one encoding does not load)', () => {
    const reached = new Set([...ENTRIES, ...GROUPS].filter((entry) => entry !== ENTRY_INVALID));
    expect(ROWS.filter((row) => !reached.has(row.id)).map((row) => `${row.encoding} ${row.name}`)).toEqual([]);
  });

  it('have at most four operands and one ModRM byte a row', () => {
    expect(ROWS.filter((row) => row.operands.length > 4)).toEqual([]);
    expect(ROWS.filter((row) => row.operands.some((operand) => operand.usesModrm) && !row.usesModrm)).toEqual([]);
  });

  it('allow LOCK only on rows whose first operand can be memory', () => {
    expect(ROWS.filter((row) => row.lock && !'EM'.includes(row.operands[0]?.text[0] ?? '-'))).toEqual([]);
  });

  it('are read back by the decoder: each row from its own opcode, prefix and ModRM', () => {
    const instruction = createInstruction();
    const missed: string[] = [];
    for (const row of ROWS) {
      const bytes = new Uint8Array(15);
      let at = 0;
      if (row.map > VEX_MAPS) {
        bytes.set([0xc4, 0xe0 | (row.map - VEX_MAPS), (row.vexWide === 1 ? 0x80 : 0) | (hasVvvv(row) ? 0x70 : 0x78) | (row.vexLength === 1 ? 4 : 0) | ['np', '66', 'f3', 'f2'].indexOf(row.prefix)]);
        at = 3;
      } else if (/^[6f]/.test(row.prefix)) bytes[at++] = Number.parseInt(row.prefix, 16);
      if (row.map > 0 && row.map < VEX_MAPS) bytes[at++] = 0x0f;
      if (row.map > 1 && row.map < VEX_MAPS) bytes[at++] = row.map === 2 ? 0x38 : 0x3a;
      bytes[at++] = row.opcode;
      bytes[at] = row.fixedModrm >= 0 ? row.fixedModrm : (row.mod === 'register' || row.ignoresMod ? 0xc0 : 0) | (Math.max(row.extension, 0) << 3);
      // The registers of a gather have to be different, and there has to be an index.
      if (row.operands.some((operand) => operand.method === METHOD_VECTOR_INDEX)) bytes[at] = 0x14;
      const result = decode(row.long ? 64 : 32, bytes, 0, 15, instruction);
      // `90` is the NOP of the row `90+r xchg`.
      const expected = row.encoding === '90+r' ? ROWS.find((other) => other.encoding === '90')! : row;
      if (result !== DECODE_OK || instruction.row !== expected.id) missed.push(`${row.encoding} ${row.name}: ${ROWS[instruction.row]?.name}`);
    }
    expect(missed).toEqual([]);
  });

  it('refuse a row that cannot be read', () => {
    expect(() => parseRows('00 add Eq8,Gb', 0)).toThrow(/unknown operand size/);
    expect(() => parseRows('00 add Eb,Gb lok', 0)).toThrow(/unknown flag lok/);
    expect(() => parseRows('add Eb,Gb', 0)).toThrow(/cannot read|unknown/);
  });
});
