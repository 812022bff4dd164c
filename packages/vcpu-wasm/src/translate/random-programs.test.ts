/** Random programs, interpreted and translated: the state after them is the same to the last bit, wherever they are interrupted. */
import { describe, expect, it } from 'vitest';
import { listEncodings } from '../native/encoding-list.ts';
import { EngineProcessor } from '../native/engine-program.ts';
import { DATA_PAGES, RECORD_BYTES, RECORD_CODE, RECORD_CODE_BYTES, RECORD_LENGTH } from '../native/program-record.ts';
import { assemble, encodingsForPrograms, writeProgram } from '../native/program-writer.ts';
import { setCode } from '../native/program-state.ts';
import { Random } from '../native/random.ts';
import { differences, EXACT, formatProgram, formatRegisters } from '../native/record-difference.ts';

const PROGRAMS = 150;
const COUNTER = DATA_PAGES + 16;
const seed = Number(process.env['VM_SEED'] ?? 1);

const littleEndian = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];
/** Eight turns: ADD to a counter in memory until it is 0 again, JNZ. */
function repeated(bits: 32 | 64, program: readonly number[]): number[] {
  const add = [...(bits === 64 ? [0x83, 0x04, 0x25] : [0x83, 0x05]), ...littleEndian(COUNTER), 0];
  // ADD m32, imm32 in place of the immediate of 8 bits, whose sign would not do.
  add[0] = 0x81;
  add.splice(-1, 1, ...littleEndian(0x2000_0000));
  return [...program, ...add, 0x0f, 0x85, ...littleEndian(-(program.length + add.length + 6))];
}

describe.each([32, 64] as const)(`random programs of %i bits, seed ${seed}`, (bits) => {
  it('end in the same state', { timeout: 300_000 }, () => {
    const byName = encodingsForPrograms(listEncodings(bits), bits);
    const names = [...byName.keys()];
    const random = new Random(seed);
    const interpreted = new EngineProcessor(true, true, 'off');
    const translated = new EngineProcessor(true, true, 'eager');
    const before = new DataView(new ArrayBuffer(RECORD_BYTES));
    const after = { off: new DataView(new ArrayBuffer(RECORD_BYTES)), eager: new DataView(new ArrayBuffer(RECORD_BYTES)) };
    for (let number = 0; number < PROGRAMS; number++) {
      const program = assemble(writeProgram(byName, names, bits, before, 0, random, { lowPages: true, hasBases: true }));
      const loop = repeated(bits, program);
      if (loop.length <= RECORD_CODE_BYTES && number % 4 !== 0) {
        setCode(before, 0, loop);
        before.setUint32(RECORD_LENGTH, loop.length, true);
      }
      expect(before.getUint8(RECORD_CODE)).toBe(program[0]);
      const pauses = new Random(random.next());
      translated.slice = number % 3 === 0 ? null : () => 1 + pauses.below(number % 3 === 1 ? 40 : 90);
      const counts = [interpreted.instructions, translated.instructions] as const;
      for (const [engine, into] of [[interpreted, after.off], [translated, after.eager]] as const) {
        new Uint8Array(into.buffer).set(new Uint8Array(before.buffer));
        engine.run(before, 0, into);
      }
      const found = differences(after.eager, after.off, 0, EXACT);
      const instructions = [interpreted.instructions - counts[0], translated.instructions - counts[1]];
      if (found.length > 0 || instructions[0] !== instructions[1]) {
        expect.fail(`program ${number} of seed ${seed}: ${[...found, `instructions ${instructions.join(' and ')}`, ...formatProgram(before, 0), formatRegisters(before, 0)].join('\n')}`);
      }
    }
    expect(translated.translated).toBeGreaterThan(translated.instructions / 10);
  });
});
