import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '@vm/cli';
import { digestOf } from '@vm/core/directory';
import { CONDITION_E, r16, r8, RAX, RDX } from '@vm/x86';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { outByte, powerOff, smallKernel, spin } from './small-kernel.ts';
import { type Result, start, VM } from './vm-program.ts';
import { runOf } from './vm-run.ts';

let folder = '';
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-tapes-'))));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

// A byte of a disk at a time: its number is written to a port, which reads the byte when the one behind it reads 1. Then it is stored
// again, one larger.
const TAPE = (block: string): string => `export const tape = {
  manifest: { abi: 1, id: 'example.tape', version: '1.0.0', state: 0, needs: ['pio', 'host'] },
  create: (ctx, properties) => {
    const disk = ctx.host.block(${block});
    const byte = new Uint8Array(1);
    let ready = 0;
    const fetch = async (at) => {
      ready = 0;
      await disk.read(at, byte);
      await disk.write(at, Uint8Array.of(byte[0] + 1));
      ready = 1;
    };
    ctx.pio.claim('tape', 2, { read: (offset) => (offset === 0 ? byte[0] : ready), write: (offset, size, value) => void fetch(value) }, [1]).map(0x300);
    return {};
  },
};
`;

/** A command that runs no machine, in this process. */
async function here(...args: readonly string[]): Promise<Result> {
  const lines = { output: '', errors: '' };
  const spies = [vi.spyOn(console, 'log').mockImplementation((line: string) => void (lines.output += `${line}\n`)), vi.spyOn(console, 'error').mockImplementation((line: string) => void (lines.errors += `${line}\n`))];
  try {
    return { code: await runCli([...args]), ...lines };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

function install(block: string): Promise<Result> {
  const code = TAPE(block);
  mkdirSync(at('devices/tape'), { recursive: true });
  writeFileSync(at('devices/tape/tape.js'), code);
  writeFileSync(at('devices/tape/device.json'), JSON.stringify({
    abi: 1, id: 'example.tape', version: '1.0.0', text: 'A tape.', entry: 'tape.js', export: 'tape', state: 0, needs: ['pio', 'host'],
    properties: { reel: { type: 'block', text: 'what is on it' } }, resources: { ports: [{ name: 'tape', base: 0x300, bytes: 2 }] }, files: { 'tape.js': digestOf(new TextEncoder().encode(code)) },
  }));
  return here('devices', 'verify', at('vm.json'), '--accept', '--grant', 'pio,host');
}

it('a plug-in has a disk by one of its properties, paced under the virtual clock, and no other disk of the machine', async () => {
  writeFileSync(at('kernel'), smallKernel((code) => {
    for (const [i, label] of ['first', 'second'].entries()) {
      outByte(code, 0x300, 3 + i);
      code.mov(r16(RDX), 0x301).label(label).in(r8(RAX), r16(RDX)).test(r8(RAX), 1).jcc(CONDITION_E, label);
      code.mov(r16(RDX), 0x300).in(r8(RAX), r16(RDX)).mov(r16(RDX), 0x3f8).out(r16(RDX), r8(RAX));
    }
    powerOff(code);
    spin(code);
  }));
  const tape = (reel: unknown): object => ({ devices: [{ name: 'tape', id: 'example.tape', properties: reel === undefined ? {} : { reel } }] });
  writeFileSync(at('vm.json'), JSON.stringify({ abi: 1, directories: ['devices'], ram: '16M', clock: 'virtual', boot: { kernel: 'kernel' }, machines: { main: { disks: [{ file: 'disk.img' }], ...tape('reel.img') }, dry: tape('reel.img,snapshot'), none: tape(undefined), wrong: tape('reel.img,bus=scsi'), lost: tape('lost.img') } }));
  for (const file of ['reel.img', 'disk.img']) writeFileSync(at(file), 'a reel of tape'.padEnd(1024, '.'));
  expect(await install('properties.reel')).toMatchObject({ code: 2 }); // two of the machines are wrong
  const manifest = JSON.parse(readFileSync(at('vm.json'), 'utf8')) as { machines: Record<string, unknown> };
  const run = (machine: string): Promise<Result> => start([...VM, 'run', at('vm.json'), machine, '--timeout', '100s', '--stats=json'], '').done;
  const refuse = (machine: string): Promise<Result> => here('run', at('vm.json'), machine);
  expect(await refuse('none')).toMatchObject({ code: 2, errors: expect.stringContaining('/machines/none/devices/0/properties/reel: it has no default') as string });
  expect(await refuse('wrong')).toMatchObject({ code: 2, errors: expect.stringContaining('/machines/wrong/devices/0/properties/reel: bus: expected virtio or ata') as string });
  delete manifest.machines['none'];
  delete manifest.machines['wrong'];
  writeFileSync(at('vm.json'), JSON.stringify(manifest));
  expect(await install('properties.reel')).toMatchObject({ code: 0 });
  expect(await refuse('lost')).toMatchObject({ code: 2, errors: expect.stringContaining('lost.img') as string });
  const [first, second] = [runOf(await run('dry')), runOf(await run('dry'))];
  expect(first).toMatchObject({ code: 0, output: 'ee' });
  expect(second).toEqual(first);
  expect(await run('main')).toMatchObject({ code: 0, output: 'ee' });
  expect([readFileSync(at('reel.img'), 'latin1').slice(0, 6), readFileSync(at('disk.img'), 'latin1').slice(0, 6)]).toEqual(['a rffl', 'a reel']);
  expect(await install("'disk0'")).toMatchObject({ code: 0 });
  expect(await run('main')).toMatchObject({ code: 2, errors: expect.stringContaining('tape: the back end disk0 is not among its properties') as string });
});
