/** All rows of the opcode tables in one list; `ROWS[id].id === id`. */
import { ONE_BYTE_ROWS } from './opcode-table.ts';
import { TWO_BYTE_ROWS } from './opcode-table-0f.ts';
import { FLOAT_VECTOR_ROWS } from './opcode-table-0f-float.ts';
import { PACKED_INTEGER_ROWS } from './opcode-table-0f-packed.ts';
import { THREE_BYTE_ROWS } from './opcode-table-0f38.ts';
import { VEX_FLOAT_ROWS } from './opcode-table-vex-float.ts';
import { VEX_PACKED_ROWS } from './opcode-table-vex-packed.ts';
import { VEX_ROWS } from './opcode-table-vex.ts';
import { VEX_THREE_BYTE_ROWS } from './opcode-table-vex-0f38.ts';
import { X87_ROWS } from './opcode-table-x87.ts';
import type { Row } from './opcode-row.ts';
import { parseRows } from './opcode-row.ts';

const TABLES: readonly string[] = [
  ONE_BYTE_ROWS, TWO_BYTE_ROWS, X87_ROWS, FLOAT_VECTOR_ROWS, PACKED_INTEGER_ROWS, THREE_BYTE_ROWS, VEX_ROWS, VEX_FLOAT_ROWS, VEX_PACKED_ROWS, VEX_THREE_BYTE_ROWS,
];

/** Every instruction form that the decoder knows. */
export const ROWS: readonly Row[] = parseRows(TABLES.join('\n'), 0);
