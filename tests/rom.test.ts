import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { itWithOracle } from '@vm/testkit/oracle';
import { type Assembler, addressOf, createAssembler, CS, DS, ES, far, mem, r16, r32, r8, RAX, RBX, RCX, RDX, RSI, RSP, segment, SS } from '@vm/x86';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runBare } from './bare-run.ts';
import { start, VM } from './vm-program.ts';

const ROM_BYTES = 0x1_0000;
const SEABIOS = '/usr/share/seabios/bios.bin';

/** A ROM of 64 KiB whose 16-bit code begins at f000:0 and goes on to the reset vector. */
function makeRom(write: (code: Assembler) => void): Uint8Array {
  const code = createAssembler(16);
  write(code);
  const rom = new Uint8Array(ROM_BYTES).fill(0xff);
  rom.set(code.bytes());
  rom.set(createAssembler(16).jmpf(far(0xf000, 0)).bytes(), 0xfff0);
  return rom;
}

function out(code: Assembler, port: number, value: number): Assembler {
  return code.mov(r16(RDX), port).mov(r8(RAX), value).out(r16(RDX), r8(RAX));
}

function say(code: Assembler, text: string): void {
  for (const letter of text) out(code, 0xe9, letter.charCodeAt(0));
}

describe('a ROM', () => {
  it('begins at the reset vector in the state after a reset, and ends with the number at the exit port', async () => {
    const rom = makeRom((code) => {
      // The type and model of the processor are in DX; everything else general is 0.
      code.mov(r16(RBX), r16(RDX)).size(2).op('pushf');
      out(code, 0x190, 1);
      code.mov(r16(RSP), 0x1000).size(2).pushf().pop(r16(RCX)).mov(r16(RDX), 0xf4).mov(r32(RAX), r32(RCX)).out(r16(RDX), r32(RAX));
    });
    expect(await runBare({ rom })).toMatchObject({ how: 'exit', code: 2, progress: [1] });
  });

  it('is at 0xf0000 and again at the end of 4 GiB, cannot be stored to, and has RAM from address 0', async () => {
    const rom = makeRom((code) => {
      const check = (letter: string, register: number, wanted: number): void => {
        code.mov(r8(RAX), letter.charCodeAt(0)).cmp(r16(register), wanted).jcc(4, `ok-${letter}`).sub(r8(RAX), 0x20).label(`ok-${letter}`).out(0xe9, r8(RAX));
      };
      code.jmp('go').align(16).label('marker').data(0x34, 0x12).label('table').data(0, 0, 0, 0, 0, 0, 0, 0).data(0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0).label('pointer').data(15, 0).dataAddress('table', 2).data(0x0f, 0);
      code.label('go').xor(r16(RAX), r16(RAX)).mov(segment(DS), r16(RAX)).mov(segment(SS), r16(RAX)).mov(r16(RSP), 0x1000);
      code.mov(mem(2, { label: 'marker', segment: CS }), 0x4321).mov(r16(RBX), mem(2, { label: 'marker', segment: CS }));
      check('a', RBX, 0x1234);
      code.mov(mem(2, { displacement: 0x500 }), 0x4321).mov(r16(RBX), mem(2, { displacement: 0x500 }));
      check('b', RBX, 0x4321);
      // A segment without limits, for the end of the first 4 GiB.
      code.size(4).op('lgdt', mem(0, { label: 'pointer', segment: CS })).op('mov', r32(RAX), { kind: 'control', number: 0, bytes: 0 }).or(r8(RAX), 1).op('mov', { kind: 'control', number: 0, bytes: 0 }, r32(RAX));
      code.mov(r16(RBX), 8).mov(segment(ES), r16(RBX)).and(r8(RAX), 0xfe).op('mov', { kind: 'control', number: 0, bytes: 0 }, r32(RAX));
      code.mov(r32(RSI), 0xffff_0000).mov(r16(RCX), addressOf('marker')).add(r16(RSI), r16(RCX));
      code.mov(mem(2, { base: RSI, segment: ES, addressBytes: 4 }), 0x4321).mov(r16(RBX), mem(2, { base: RSI, segment: ES, addressBytes: 4 }));
      check('c', RBX, 0x1234);
      out(code, 0xf4, 0);
    });
    expect(await runBare({ rom, consolePort: 0xe9 })).toMatchObject({ how: 'exit', code: 0, output: 'abc' });
  });

  it('of 128 KiB lies whole below 1 MiB, and takes stores there as shadow RAM', async () => {
    const rom = new Uint8Array(2 * ROM_BYTES);
    rom.set(makeRom((code) => {
      code.mov(r16(RAX), 0xe000).mov(segment(DS), r16(RAX)).mov(r16(RBX), mem(2, { displacement: 0x10 })).mov(mem(2, { displacement: 0x10 }), 5).add(r16(RBX), mem(2, { displacement: 0x10 }));
      code.mov(r16(RAX), r16(RBX)).out(0xf4, r8(RAX));
    }), ROM_BYTES);
    rom[0x10] = 32;
    expect(await runBare({ rom })).toMatchObject({ how: 'exit', code: 64 });
    expect(await runBare({ rom, romShadow: true })).toMatchObject({ how: 'exit', code: 37 });
  });

  it('that triple faults has crashed', async () => {
    const rom = makeRom((code) => {
      code.label('table').op('lidt', mem(0, { displacement: 0x500 })).int(0x20);
    });
    expect((await runBare({ rom })).how).toBe('crash');
  });
});

describe('vm boot --rom', () => {
  let folder = '';
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-rom-'))));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const run = (write: (code: Assembler) => void, ...options: string[]) => {
    const path = join(folder, 'test.bin');
    writeFileSync(path, makeRom(write));
    return start([...VM, 'boot', '--rom', path, '--timeout', '30s', ...options], '').done;
  };

  it('prints text and ends well at a HLT after the last byte of progress', async () => {
    const { code, output, errors } = await run((rom) => {
      say(rom, 'one, ');
      out(rom, 0x190, 0x10);
      for (const letter of 'two\n') out(rom, 0x3f8, letter.charCodeAt(0));
      out(rom, 0x80, 0xff).cli().hlt();
    }, '--verbose');
    expect([code, output]).toEqual([0, 'one, two\n']);
    expect(errors).toContain('vm: progress 10\n');
    expect(errors).toContain('vm: the processor has halted for good, with interrupts off; the last byte of progress is ff, which says that all went well\n');
    expect(errors).toMatch(/^rip f000:[0-9a-f]+ +rflags 00000002/m);
  });

  it('ends badly at a HLT anywhere else, on ports and with bytes of one\'s choice', async () => {
    const { code, output, errors } = await run((rom) => {
      out(rom, 0x402, 0x41);
      out(rom, 0x84, 0x0b).cli().hlt();
    }, '--char-port', '0x402', '--post-port', '0x84');
    expect([code, output]).toEqual([3, 'A']);
    expect(errors).toContain('the last byte of progress is 0b\n');
  });

  it('gives the number at the exit port as its exit code', async () => {
    expect(await run((rom) => void out(rom, 0xf4, 63))).toMatchObject({ code: 63, errors: '' });
  });
});

itWithOracle(it, SEABIOS, 'SeaBIOS finds the machine and looks for something to boot', async (path) => {
  const { output } = await runBare({ rom: readFileSync(path), romShadow: true, consolePort: 0x402 }, /No bootable device\./);
  for (const line of ['SeaBIOS (version', 'RamSize: 0x08000000', 'Found 1 cpu(s)', 'Found 1 serial ports', 'PS2 keyboard initialized', 'No bootable device.']) expect(output).toContain(line);
});
