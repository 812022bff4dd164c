import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkDescription, DEVICE_SCHEMA } from '@vm/core/directory';
import { CPU_MODEL_NAMES, SHADOW_MODES, TRANSLATOR_MODES } from '@vm/vcpu-wasm';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { machineOf, readManifest } from './machine-manifest.ts';
import { readMachine } from './manifest-board.ts';
import vmSchema from './vm.schema.json' with { type: 'json' };

let folder = '';
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-manifest-'))));
afterEach(() => rmSync(folder, { recursive: true }));

function write(manifest: unknown): string {
  const file = join(folder, 'vm.json');
  writeFileSync(file, typeof manifest === 'string' ? manifest : JSON.stringify(manifest));
  return file;
}
async function refusalOf(manifest: unknown): Promise<string> {
  const error: unknown = await readManifest(write(manifest)).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(Error);
  return (error as Error).message.replaceAll(`${folder}/`, '');
}
const one = (machine: object): object => ({ abi: 1, machines: { main: machine } });

describe('readManifest', () => {
  it('names file, path and rule, with the word that was probably meant', async () => {
    expect(await refusalOf(one({ rma: '1G' }))).toBe('vm.json: /machines/main/rma: there is no such member; did you mean ram? (rule additionalProperties)');
    expect(await refusalOf(one({ clock: 'virtaul' }))).toBe('vm.json: /machines/main/clock: expected host, virtual, got "virtaul"; did you mean virtual? (rule enum)');
    expect(await refusalOf(one({ ram: 'much' }))).toBe('vm.json: /machines/main/ram: expected bytes, or a size such as 512M; default: 512M, got "much" (rule pattern)');
    expect(await refusalOf(one({ devices: [{ name: 'x' }] }))).toBe('vm.json: /machines/main/devices/0: id is missing (rule required)');
    expect(await refusalOf(one({ disks: [{ file: 7 }] }))).toBe('vm.json: /machines/main/disks/0/file: expected string, got 7 (rule type)');
    expect(await refusalOf({ abi: 1, machines: { 'My machine': {} } })).toMatch(/^vm\.json: \/machines\/My machine: this name is not allowed: expected lower-case letters, digits and dashes/);
    expect(await refusalOf({ abi: 1, machines: {} })).toMatch(/^vm\.json: \/machines: .* \(rule minProperties\)$/);
    expect(await refusalOf({ abi: 7, machines: { main: {} } })).toBe('vm.json: /abi: it is made for device ABI 7, this is ABI 1 (rule abi)');
  });

  it('has processors of KVM in threads where they can be', async () => {
    const threads = (engine: object, beside?: object): object => ({ abi: 1, ...(beside === undefined ? {} : { engine: beside }), machines: { main: { engine: { ...engine, kvmThreads: true } } } });
    for (const id of ['kvm', 'auto']) {
      const file = await readManifest(write(threads({ id, compound: 'off' })));
      expect(machineOf(file, 'main').settings.engine).toEqual({ id, compound: 'off', kvmThreads: true });
    }
    const alone = 'vm.json: /machines/main/engine/kvmThreads: it goes with id: kvm or auto (rule exclude)';
    expect(await refusalOf(threads({}))).toBe(alone);
    expect(await refusalOf(threads({ id: 'wasm' }, { id: 'kvm' }))).toBe(alone);
    const compounded = /engine\/kvmThreads: accesses cannot be compounded with processors in threads \(rule exclude\)$/;
    for (const blocks of [{ compound: 'fixed' }, { handoff: 'list' }]) expect(await refusalOf(threads({ id: 'kvm', ...blocks }))).toMatch(compounded);
    expect(await refusalOf({ abi: 1, engine: { kvmThreads: true }, machines: { main: {} } })).toBe('vm.json: /engine/kvmThreads: it goes with id: kvm or auto (rule exclude)');
    expect(await refusalOf(threads({ id: 'kvm', kvmThread: 1 }))).toContain('did you mean kvmThreads?');
  });

  it('has the local APICs of the host\'s kernel where they can be', async () => {
    const chip = (engine: object, more: object = {}): object => ({ abi: 1, machines: { main: { engine: { kvmChip: 'kernel', ...engine }, ...more } } });
    expect(machineOf(await readManifest(write(chip({ id: 'kvm', kvmThreads: true }, { cpus: 2 }))), 'main').settings.engine).toEqual({ id: 'kvm', kvmThreads: true, kvmChip: 'kernel' });
    const refused = async (manifest: object): Promise<string> => (await refusalOf(manifest)).replace('vm.json: /machines/main/engine/kvmChip: ', '');
    expect(await refused(chip({}))).toBe('it goes with id: kvm or auto (rule exclude)');
    expect(await refused(chip({ id: 'auto' }, { cpus: 2 }))).toBe('several processors need threads (rule exclude)');
    expect(await refused(chip({ id: 'kvm', compound: 'fixed' }))).toBe('accesses cannot be compounded with it (rule exclude)');
    expect(await refused(chip({ id: 'kvm' }, { eoi: 'selective' }))).toBe('it has no end of a chosen vector (rule exclude)');
    expect(await refused(chip({ id: 'kvm' }, { apic: 'none' }))).toBe('a processor without a local APIC has none in the kernel (rule exclude)');
  });

  it('tells everything at once', async () => {
    expect((await refusalOf({ abi: 'x', machines: { main: { ram: 1, onFault: 'ignore' } } })).split('\n')).toHaveLength(3);
  });

  it('refuses what is hostile', async () => {
    expect(await refusalOf('{"abi": 1, "machines": {"__proto__": {}}}')).toBe('vm.json: /machines/__proto__: this name is not allowed (rule name)');
    expect(await refusalOf('{"abi": 1, "abi": 2, "machines": {"main": {}}}')).toBe('vm.json: /abi: it is there twice (rule unique)');
    expect(await refusalOf('['.repeat(100_000))).toBe('vm.json: /: more than 16 levels (rule depth)');
    expect(await refusalOf('{"abi": 1,')).toMatch(/\(rule json\)$/);
    expect(await refusalOf(one({ boot: { kernel: 'a\0b' } }))).toMatch(/\/machines\/main\/boot\/kernel: .* \(rule pattern\)$/);
    expect(await refusalOf(one({ devices: [{ name: 'a', id: 'x.y' }, { name: 'a', id: 'x.z' }] }))).toBe('vm.json: /machines/main/devices/1/name: there are two devices named a (rule unique)');
  });
});

describe('machines', () => {
  it('have what stands beside them, unless they say otherwise, and each its own devices', async () => {
    const file = await readManifest(write({ abi: 1, ram: '1G', clock: 'virtual', machines: { a: { devices: [{ name: 'x', id: 'example.x' }] }, b: { ram: 4096 } } }));
    expect(machineOf(file, undefined)).toEqual({ name: 'a', settings: { ram: '1G', clock: 'virtual', devices: [{ name: 'x', id: 'example.x' }] } });
    expect(machineOf(file, 'b').settings).toEqual({ ram: 4096, clock: 'virtual' });
    expect(() => machineOf(file, 'c')).toThrow('there is no machine c; did you mean a?');
    expect(() => machineOf(file, 'server')).toThrow('there is no machine server; there are a, b');
  });

  it('boot one thing, with what goes with it', async () => {
    const bootOf = async (boot: object | undefined): Promise<string> => {
      const file = await readManifest(write(one(boot === undefined ? {} : { boot })));
      return readMachine(file, 'main', machineOf(file, 'main').settings).then(() => 'fine', (error: Error) => error.message.replaceAll(`${folder}/`, ''));
    };
    expect(await bootOf(undefined)).toBe('vm.json: /machines/main/boot: kernel is missing, or multiboot, or rom (rule required)');
    expect(await bootOf({ kernel: 'k', rom: 'r' })).toBe('vm.json: /machines/main/boot: kernel and rom exclude each other (rule exclude)');
    expect(await bootOf({ rom: 'r', initrd: 'i' })).toBe('vm.json: /machines/main/boot/initrd: it goes with kernel (rule exclude)');
    expect(await bootOf({ kernel: 'none' })).toBe('boot.kernel none: there is no such file');
    writeFileSync(join(folder, 'r'), new Uint8Array(4096));
    expect(await bootOf({ rom: 'r' })).toBe('fine');
  });

  it('give their board what they say of the engine', async () => {
    writeFileSync(join(folder, 'r'), new Uint8Array(4096));
    const engine = { id: 'kvm', cpuModel: '486', kvmThreads: true, kvmChip: 'kernel', compound: 'off' };
    const file = await readManifest(write(one({ boot: { rom: 'r' }, engine })));
    const { board } = await readMachine(file, 'main', machineOf(file, 'main').settings);
    expect(board).toMatchObject({ cpuModel: '486', kvmThreads: true, kvmChip: 'kernel', compound: 'off' });
  });
});

describe('the schemas', () => {
  it('know the words that the engine knows', () => {
    const { cpuModel, translator, shadow } = vmSchema.$defs.engine.properties;
    expect([cpuModel.enum, translator.enum, shadow.enum]).toEqual([[...CPU_MODEL_NAMES], [...TRANSLATOR_MODES], [...SHADOW_MODES]]);
  });

  it('that of device.json means to the reader of @vm/core/directory what it means to ajv', () => {
    const validate = new Ajv2020({ allErrors: true, allowUnionTypes: true }).compile(DEVICE_SCHEMA);
    const whole = {
      abi: 1, id: 'example.lamp', version: '1.0.0', text: 'A lamp.', entry: 'lamp.js', export: 'lamp', state: 2, oldestState: 1, needs: ['pio', 'lines'], hotPluggable: true,
      properties: { base: { type: 'integer', text: 'port', min: 0, max: 9, step: 1, default: 3 }, word: { type: 'choice', text: 'word', values: ['a', 'b'] }, label: { type: 'text', text: 'label', maxLength: 5 } },
      resources: { ports: [{ name: 'p', base: { property: 'base' }, bytes: 1 }], memory: [], lines: [{ pin: 3, shared: true }] },
      coalescable: [{ range: 'p', offset: 0, bytes: 1 }], files: { 'lamp.js': `sha256-${'0'.repeat(64)}` },
    };
    const odd: unknown[] = [null, true, -1, 1.5, 2 ** 53, '', 'x', 'a\nb', '../x', [], [1], ['pio', 'pio'], {}, { a: 1 }, { property: 'base' }, { property: 'base', more: 1 }];
    let differences = 0;
    let refused = 0;
    // Every member at every depth in turn becomes each odd value, or is gone, or has a stranger beside it.
    const vary = (value: unknown, rebuild: (changed: unknown) => unknown): void => {
      for (const changed of [...odd, undefined]) {
        const candidate: unknown = JSON.parse(JSON.stringify(rebuild(changed)) ?? 'null');
        const ours = checkSchemaOnly(candidate);
        const theirs = validate(candidate);
        if (ours !== theirs) differences++;
        if (!theirs) refused++;
      }
      if (Array.isArray(value)) value.forEach((item, i) => vary(item, (changed) => rebuild(value.map((other, j) => (j === i ? changed : other)))));
      else if (typeof value === 'object' && value !== null) for (const [name, item] of Object.entries({ ...value, stranger: 1 })) vary(item, (changed) => rebuild({ ...value, [name]: changed }));
    };
    vary(whole, (changed) => changed);
    expect(validate(whole)).toBe(true);
    expect(checkDescription(whole)).toEqual([]);
    expect([differences, refused > 500]).toEqual([0, true]);
  });
});

// Rules that no schema can say come after those of the schema.
const OWN_RULES = new Set(['files', 'order', 'member', 'range', 'property', 'needs', 'unique']);

function checkSchemaOnly(value: unknown): boolean {
  return checkDescription(value).every(({ rule, text }) => OWN_RULES.has(rule) || (rule === 'required' && text === 'values is missing'));
}
