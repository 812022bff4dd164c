import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { runCli } from '@vm/cli';
import { digestOf } from '@vm/core/directory';
import { CONDITION_E, r16, r8, RAX, RDX } from '@vm/x86';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import { outByte, powerOff, print, smallKernel, spin } from './small-kernel.ts';
import { printed, start, VM } from './vm-program.ts';

const CRC = fileURLToPath(new URL('../examples/plug-ins/crc-unit', import.meta.url));
let folder = '';
const at = (name: string): string => join(folder, name);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-plug-ins-'));
  cpSync(CRC, at('devices/crc-unit'), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true }));

/** `vm devices`, in this process. */
async function devices(...args: readonly string[]): Promise<number> {
  const silent = vi.spyOn(console, 'log').mockImplementation(() => {});
  try {
    return await runCli(['devices', ...args]);
  } finally {
    silent.mockRestore();
  }
}

function writeManifest(manifest: object): void {
  writeFileSync(at('vm.json'), JSON.stringify({ abi: 1, directories: ['devices'], ...manifest }));
}

/** A digest of all sources of core, which no device changes. */
function digestOfCore(): string {
  const hash = createHash('sha256');
  for (const file of ['abi.ts', 'machine.ts', 'lifecycle.ts', 'io-bus.ts', 'directory/scan.ts', 'directory/load-plugin.ts']) hash.update(readFileSync(new URL(`../packages/core/src/${file}`, import.meta.url)));
  return hash.digest('hex');
}

const feed = (base: number, text: string): string => [...Buffer.from(text)].map((byte) => `devmem 0x${base.toString(16)} 8 ${byte}`).join('; ');
const hex = (value: number): string => `0x${value.toString(16).toUpperCase().padStart(8, '0')}`;

describe('plug-ins of an external directory', () => {
  itWithGuest('linux-image-cloud-amd64', 'two of one kind with different properties, one of them in a worker, are in one machine and not in the other, and Linux uses them, a source of random bytes, a virtio console and HPET', async ({ kernel, initrd }) => {
    const before = digestOfCore();
    writeManifest({ boot: { kernel, initrd, append: 'console=ttyS0 quiet' }, machines: { main: { rng: true, console: 'virtio', boot: { kernel, initrd, append: 'console=hvc0 quiet' } }, bare: { hpet: true, boot: { kernel, initrd, append: 'console=ttyS0 quiet clocksource=hpet' } } } });
    const add = (...more: string[]): Promise<number> => devices('add', at('vm.json'), 'example.crc-unit', '--grant', 'mmio', ...more);
    expect(await add()).toBe(0);
    expect(await add('--name', 'iscsi', '--set', 'base=0xd0001000', '--set', 'polynomial=crc32c', '--isolation', 'worker')).toBe(0);
    const script = `${feed(0xd000_0000, '123456789')}; ${feed(0xd000_1000, '123456789')}; echo $(devmem 0xd0000004 32) $(devmem 0xd0001004 32) $(devmem 0xd000000c 32); cat /sys/class/misc/hw_random/rng_current; head -c 5000 /dev/hwrng | wc -c; cat /sys/devices/system/clocksource/clocksource0/current_clocksource; poweroff -f\n`;
    const run = (machine: string): ReturnType<typeof start>['done'] => start([...VM, 'run', at('vm.json'), machine, '--timeout', '300s'], script).done;
    const [main, bare] = [await run('main'), await run('bare')];
    expect([main.code, bare.code]).toEqual([0, 0]);
    expect(main.output).toContain(`${hex(crc32('123456789'))} 0xE3069283 0x31435243`);
    expect(main.output).toMatch(/virtio_rng\.0\r?\n5000\r?\ntsc\r?\n/);
    expect(bare.output).toContain('0xFFFFFFFF 0xFFFFFFFF 0xFFFFFFFF');
    expect(bare.output).toMatch(/\nhpet\r?\n/);
    expect(digestOfCore()).toBe(before);
  });

  it('goes through the phases with the devices of the board, up in the order of the list and down in reverse', async () => {
    writeFileSync(at('rom'), Uint8Array.from({ length: 4096 }, () => 0xf4)); // hlt
    writeManifest({ boot: { rom: 'rom' }, machines: { main: { ram: '16M', devices: [{ name: 'crc', id: 'example.crc-unit' }] } } });
    expect(await devices('verify', at('vm.json'), '--accept', '--grant', 'all')).toBe(0);
    const { code, errors } = await start([...VM, 'run', at('vm.json'), '--trace', 'lifecycle', '--timeout', '60s'], '').done;
    const steps = Array.from(errors.matchAll(/^vm: trace: (.*?)(?: [\d.]+ (?:µs|ms))?$/gm), ([, step]) => step!.trim());
    const phases = steps.filter((step) => !step.includes('.'));
    expect([code, phases]).toEqual([3, ['initializing', 'powering-up', 'running', 'powering-down', 'tearing-down', 'off']]);
    for (const [first, second] of [['pit.create', 'crc.create'], ['crc.create', 'powering-up'], ['pit.powerUp', 'crc.powerUp'], ['crc.powerUp', 'running'], ['crc.stop', 'pit.stop'], ['crc.powerDown', 'pit.powerDown'], ['pit.powerDown', 'tearing-down'], ['crc.tearDown', 'pit.tearDown']]) {
      expect(steps.indexOf(first!), first).toBeGreaterThanOrEqual(0);
      expect(steps.indexOf(first!), `${first!} before ${second!}`).toBeLessThan(steps.indexOf(second!));
    }
  });

  it('one with state is saved with its machine, and goes on in another process; a machine without it is refused', async () => {
    const code = `export const counter = {
      manifest: { abi: 1, id: 'example.counter', version: '1.0.0', state: 1, needs: ['pio'] },
      create: (ctx) => {
        let count = 0x40;
        ctx.pio.claim('count', 1, { read: () => count, write: () => { count = (count + 1) & 0xff; } }, [1]).map(0x300);
        return { powerUp: () => { count = 0x40; }, save: () => ({ count }), load: (state) => { if (typeof state.count !== 'number') throw new TypeError('count'); count = state.count; } };
      },
    };`;
    mkdirSync(at('devices/counter'));
    writeFileSync(at('devices/counter/counter.js'), code);
    writeFileSync(at('devices/counter/device.json'), JSON.stringify({
      abi: 1, id: 'example.counter', version: '1.0.0', text: 'Counts.', entry: 'counter.js', export: 'counter', state: 1, needs: ['pio'],
      resources: { ports: [{ name: 'count', base: 0x300, bytes: 1 }] }, files: { 'counter.js': digestOf(new TextEncoder().encode(code)) },
    }));
    writeFileSync(at('kernel'), smallKernel((asm) => {
      // Three counts before the prompt; what the device says comes after the first byte that is typed.
      for (let i = 0; i < 3; i++) outByte(asm, 0x300, 0);
      for (const [offset, value] of [[2, 0x07], [1, 0x01], [4, 0x0b]] as const) outByte(asm, 0x3f8 + offset, value);
      print(asm, '# ');
      asm.label('wait').mov(r16(RDX), 0x3fd).in(r8(RAX), r16(RDX)).test(r8(RAX), 1).jcc(CONDITION_E, 'wait');
      asm.mov(r16(RDX), 0x300).in(r8(RAX), r16(RDX)).mov(r16(RDX), 0x3f8).out(r16(RDX), r8(RAX));
      powerOff(asm);
      spin(asm);
    }));
    writeManifest({ boot: { kernel: 'kernel' }, ram: '16M', machines: { main: { devices: [{ name: 'counter', id: 'example.counter' }] }, without: {} } });
    expect(await devices('verify', at('vm.json'), '--accept', '--grant', 'pio')).toBe(0);
    const name = `plug-in-${process.pid}`;
    const running = start([...VM, 'run', at('vm.json'), '--name', name, '--timeout', '100s'], null);
    await printed(running.child, '# ');
    expect(await start([...VM, 'ctl', name, 'snapshot', at('saved')], '').done).toMatchObject({ code: 0, errors: '' });
    expect(await start([...VM, 'ctl', name, 'quit'], '').done).toMatchObject({ code: 0 });
    await running.done;
    const inspected = JSON.parse((await start([...VM, 'snapshot', 'inspect', at('saved')], '').done).output) as { devices: { name: string; id: string }[] };
    expect(inspected.devices).toContainEqual(expect.objectContaining({ name: 'counter', id: 'example.counter', version: 1 }));
    expect(await start([...VM, 'run', at('vm.json'), '--restore', at('saved'), '--timeout', '100s'], 'x').done).toMatchObject({ code: 0, output: 'C' });
    expect(await start([...VM, 'run', at('vm.json'), 'without', '--restore', at('saved'), '--timeout', '100s'], 'f').done).toMatchObject({ code: 2, errors: expect.stringContaining('counter') as string });
  });

  it('one that throws while the guest runs is the open bus from then on: the machine stops with its name, or goes on', async () => {
    const code = `export const lamp = {
      manifest: { abi: 1, id: 'example.lamp', version: '1.0.0', state: 0, needs: ['pio'] },
      create: (ctx, { port }) => (ctx.pio.claim('switch', 1, { read: () => 0x41, write: () => { throw new Error('burnt out'); } }, [1]).map(port), {}),
    };`;
    const description = {
      abi: 1, id: 'example.lamp', version: '1.0.0', text: 'A lamp.', entry: 'lamp.js', export: 'lamp', state: 0, needs: ['pio'], files: { 'lamp.js': digestOf(new TextEncoder().encode(code)) },
      properties: { port: { type: 'integer', text: 'its port', min: 0, max: 0xffff, default: 0x300 } }, resources: { ports: [{ name: 'switch', base: { property: 'port' }, bytes: 1 }] },
    };
    mkdirSync(at('devices/lamp'));
    writeFileSync(at('devices/lamp/lamp.js'), code);
    writeFileSync(at('devices/lamp/device.json'), JSON.stringify(description));
    writeFileSync(at('kernel'), smallKernel((asm) => {
      for (const twice of [1, 2]) {
        asm.mov(r16(RDX), 0x300).in(r8(RAX), r16(RDX)).mov(r16(RDX), 0x3f8).out(r16(RDX), r8(RAX));
        if (twice === 1) outByte(asm, 0x300, 1);
      }
      powerOff(asm);
      spin(asm);
    }));
    const list = { devices: [{ name: 'lamp', id: 'example.lamp' }] };
    writeManifest({ boot: { kernel: 'kernel' }, ram: '16M', machines: { strict: list, lenient: { onFault: 'go-on', ...list } } });
    expect(await devices('verify', at('vm.json'), '--accept', '--grant', 'pio')).toBe(0);
    const run = (machine: string): ReturnType<typeof start>['done'] => start([...VM, 'run', at('vm.json'), machine, '--timeout', '60s', '--stats=json'], '').done;
    const strict = await run('strict');
    expect([strict.code, strict.output]).toEqual([1, 'A']);
    expect(strict.errors).toContain('vm: lamp: lamp.switch threw and is cut off: Error: burnt out');
    const lenient = await run('lenient');
    expect([lenient.code, lenient.output]).toEqual([0, 'A\xff']);
    expect(lenient.errors).toContain('"device.lamp.faults":1');
  });

  it('one in a worker that hangs while the guest runs is ended and is the open bus from then on: the machine stops with its name, or goes on', async () => {
    const code = `export const lamp = {
      manifest: { abi: 1, id: 'example.lamp', version: '1.0.0', state: 0, needs: ['pio'] },
      create: (ctx, { port }) => (ctx.pio.claim('switch', 1, { read: () => 0x41, write: () => { for (;;); } }, [1]).map(port), {}),
    };`;
    mkdirSync(at('devices/lamp'));
    writeFileSync(at('devices/lamp/lamp.js'), code);
    writeFileSync(at('devices/lamp/device.json'), JSON.stringify({
      abi: 1, id: 'example.lamp', version: '1.0.0', text: 'A lamp.', entry: 'lamp.js', export: 'lamp', state: 0, needs: ['pio'], files: { 'lamp.js': digestOf(new TextEncoder().encode(code)) },
      properties: { port: { type: 'integer', text: 'its port', min: 0, max: 0xffff, default: 0x300 } }, resources: { ports: [{ name: 'switch', base: { property: 'port' }, bytes: 1 }] },
    }));
    writeFileSync(at('kernel'), smallKernel((asm) => {
      for (const twice of [1, 2]) {
        asm.mov(r16(RDX), 0x300).in(r8(RAX), r16(RDX)).mov(r16(RDX), 0x3f8).out(r16(RDX), r8(RAX));
        if (twice === 1) outByte(asm, 0x300, 1);
      }
      powerOff(asm);
      spin(asm);
    }));
    const list = { devices: [{ name: 'lamp', id: 'example.lamp', isolation: 'worker', answerMs: 3000 }] };
    writeManifest({ boot: { kernel: 'kernel' }, ram: '16M', machines: { strict: list, lenient: { onFault: 'go-on', ...list } } });
    expect(await devices('verify', at('vm.json'), '--accept', '--grant', 'pio')).toBe(0);
    const run = (machine: string): ReturnType<typeof start>['done'] => start([...VM, 'run', at('vm.json'), machine, '--timeout', '60s', '--stats=json'], '').done;
    const strict = await run('strict');
    expect([strict.code, strict.output]).toEqual([1, 'A']);
    expect(strict.errors).toMatch(/vm: lamp: lamp\.worker .*is cut off: Error: it did not answer within 3 s/);
    const lenient = await run('lenient');
    expect([lenient.code, lenient.output]).toEqual([0, 'A\xff']);
    expect(lenient.errors).toContain('"device.lamp.faults":1');
    // In the machine's own thread it would hang with all of it; nobody may think otherwise.
    writeManifest({ boot: { kernel: 'kernel' }, ram: '16M', machines: { main: { devices: [{ name: 'lamp', id: 'example.lamp', answerMs: 3000 }] } } });
    expect((await run('main')).errors).toContain('/machines/main/devices/0/answerMs: it goes with isolation: worker (rule exclude)');
  });

  it('one that throws at power-up, or at import, is told by its name before the guest runs', async () => {
    writeFileSync(at('rom'), Uint8Array.from({ length: 4096 }, () => 0xf4)); // hlt
    writeManifest({ boot: { rom: 'rom' }, machines: { main: { ram: '16M', devices: [{ name: 'crc', id: 'example.crc-unit' }] } } });
    const breakWith = async (from: string, to: string): Promise<{ code: number | null; errors: string }> => {
      const code = readFileSync(join(CRC, 'crc-unit.js'), 'utf8').replace(from, to);
      const description = JSON.parse(readFileSync(join(CRC, 'device.json'), 'utf8')) as { files: Record<string, string> };
      description.files = { 'crc-unit.js': digestOf(new TextEncoder().encode(code)) };
      writeFileSync(at('devices/crc-unit/crc-unit.js'), code);
      writeFileSync(at('devices/crc-unit/device.json'), JSON.stringify(description));
      expect(await devices('verify', at('vm.json'), '--accept', '--grant', 'all')).toBe(0);
      return start([...VM, 'run', at('vm.json'), '--timeout', '60s'], '').done;
    };
    expect(await breakWith('powerUp() {', "powerUp() {\n    throw new Error('no power');")).toMatchObject({ code: 1, errors: expect.stringContaining('crc: powerUp failed: no power') });
    expect(await breakWith('this).map(Number(base))', 'this).map(0xd0002000)')).toMatchObject({ code: 2, errors: expect.stringContaining('crc: memory 0xd0002000 to 0xd000200f is not among the resources of its description') });
    expect(await breakWith("needs: ['mmio']", "needs: ['mmio', 'dma']")).toMatchObject({ code: 2, errors: expect.stringContaining('example.crc-unit@1.0.0: needs is dma, mmio in its code and mmio in its device.json') });
    expect(await breakWith('/** @import', "import { wasmEngine } from '@vm/vcpu-wasm';\n/** @import")).toMatchObject({ code: 2, errors: expect.stringContaining('example.crc-unit@1.0.0: importing crc-unit.js failed') });
  });
});
