import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAssembler, r8, RAX } from '@vm/x86';
import { expect } from 'vitest';
import { itWithKvm } from './kvm-host.ts';
import { ctl } from './vm-ctl.ts';
import { printed, start, VM } from './vm-program.ts';

const LOAD = 0x10_0000;
const TEXT = 'hello';
const TEST_EXIT_PORT = 0xf4;

/** A multiboot image, version 1, without an ELF header: writes a word to COM1, and ends with the number 7 or goes on for ever. */
function image(end: 'ends' | 'goes on'): Uint8Array {
  const code = createAssembler(32, { origin: LOAD });
  const [magic, flags] = [0x1bad_b002, 0x1_0000];
  const word = (value: number): readonly number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
  code.data(...[magic, flags, -(magic + flags), LOAD, LOAD, 0, 0, LOAD + 32].flatMap(word));
  code.op('mov', { kind: 'gpr', number: 2, bytes: 4 }, 0x3f8);
  for (const byte of new TextEncoder().encode(`${TEXT}\n`)) code.mov(r8(RAX), byte).data(0xee);
  if (end === 'goes on') return code.label('round').jmp('round').bytes();
  return code.mov(r8(RAX), 7).out(TEST_EXIT_PORT, r8(RAX)).hlt().bytes();
}

itWithKvm('protected', 'vm boot --engine kvm runs a program without an operating system, and says what the host lacks', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vm-kvm-cli-'));
  try {
    const path = join(folder, 'hello.flat');
    writeFileSync(path, image('ends'));
    const { code, output, errors } = await start([...VM, 'boot', '--multiboot', path, '--engine', 'kvm', '--memory', '32M', '--timeout', '60s', '--stats=json'], '').done;
    expect([code, output]).toEqual([7, `${TEXT}\n`]);
    expect(errors).toContain('exits.io');
    const compounded = await start([...VM, 'boot', '--multiboot', path, '--engine', 'kvm', '--compound', 'fixed', '--memory', '32M', '--timeout', '60s', '--stats=json'], '').done;
    expect([compounded.code, compounded.output]).toEqual([7, `${TEXT}\n`]);
    expect(compounded.errors).toMatch(/"cpu\.compound\.spared":\s*[1-9]/);
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 120_000);

itWithKvm('protected', 'vm boot --kvm-threads runs it in a thread, and is refused what does not go with it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vm-kvm-cli-'));
  try {
    const path = join(folder, 'hello.flat');
    writeFileSync(path, image('ends'));
    const boot = [...VM, 'boot', '--multiboot', path, '--kvm-threads', '--memory', '32M', '--timeout', '60s'];
    const { code, output } = await start([...boot, '--engine', 'kvm'], '').done;
    expect([code, output]).toEqual([7, `${TEXT}\n`]);
    const manifest = join(folder, 'vm.json');
    writeFileSync(manifest, JSON.stringify({ abi: 1, machines: { main: { engine: { id: 'kvm', kvmThreads: true }, ram: '32M', boot: { multiboot: 'hello.flat' } } } }));
    const run = await start([...VM, 'run', manifest, '--timeout', '60s'], '').done;
    expect([run.code, run.output]).toEqual([7, `${TEXT}\n`]);
    expect((await start(boot, '').done).errors).toContain('--kvm-threads is for --engine kvm or auto');
    expect((await start([...boot, '--engine', 'kvm', '--compound', 'fixed'], '').done).errors).toContain('cannot be compounded');
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 120_000);

itWithKvm('protected', 'vm boot --kvm-chip kernel runs it with the kernel\'s local APICs, in the machine\'s thread and in one of its own', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vm-kvm-cli-'));
  try {
    const path = join(folder, 'hello.flat');
    writeFileSync(path, image('ends'));
    for (const more of [[], ['--kvm-threads']]) {
      const { code, output } = await start([...VM, 'boot', '--multiboot', path, '--engine', 'kvm', '--kvm-chip', 'kernel', '--memory', '32M', '--timeout', '60s', ...more], '').done;
      expect([code, output]).toEqual([7, `${TEXT}\n`]);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 120_000);

for (const how of [['--compound', 'adaptive'], ['--kvm-chip', 'kernel'], ['--kvm-chip', 'kernel', '--kvm-threads']]) itWithKvm('protected', `vm ctl NAME engine moves a running machine to KVM and back, ${how.join(' ')}`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vm-kvm-cli-'));
  const name = `kvm-cli-${process.pid}`;
  try {
    const path = join(folder, 'hello.flat');
    writeFileSync(path, image('goes on'));
    const { child, done } = start([...VM, 'boot', '--multiboot', path, '--engine', 'kvm', ...how, '--memory', '32M', '--name', name], null);
    await printed(child, TEXT);
    const engines = [];
    for (const to of [[], ['wasm'], ['kvm'], []]) engines.push((JSON.parse((await ctl(name, 'engine', ...to)).output) as { readonly engine: string }).engine);
    expect(engines).toEqual(['kvm', 'wasm', 'kvm', 'kvm']);
    const { 'cpu.exits.io': exits = null } = JSON.parse((await ctl(name, 'counters')).output) as Readonly<Record<string, number>>;
    expect(exits).not.toBeNull(); // of the same processor as at first
    await ctl(name, 'quit');
    expect((await done).code).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 120_000);

itWithKvm('protected', 'vm ctl NAME snapshot packs memory while the machine runs, and what it writes goes on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vm-kvm-cli-'));
  const name = `kvm-cli-save-${process.pid}`;
  try {
    const [path, file] = [join(folder, 'hello.flat'), join(folder, 'saved.vms')];
    writeFileSync(path, image('goes on'));
    const boot = [...VM, 'boot', '--multiboot', path, '--engine', 'kvm', '--memory', '32M'];
    const first = start([...boot, '--name', name], null);
    await printed(first.child, TEXT);
    const { pagesWhileStanding, bytes } = JSON.parse((await ctl(name, 'snapshot', file)).output) as Readonly<Record<string, number>>;
    expect(pagesWhileStanding).toBeLessThan(100); // of 8192
    expect(bytes).toBe(statSync(file).size);
    await ctl(name, 'engine', 'wasm');
    const standing = JSON.parse((await ctl(name, 'snapshot', `${file}.wasm`)).output) as Readonly<Record<string, number>>;
    expect(Object.keys(standing)).not.toContain('pagesWhileStanding'); // this engine does not tell what it stores
    await ctl(name, 'quit');
    await first.done;
    const next = start([...boot, '--restore', file, '--name', `${name}-2`], null);
    await expect.poll(async () => JSON.parse((await ctl(`${name}-2`, 'counters')).output || '{}') as unknown, { timeout: 30_000 }).toHaveProperty(['cpu.instructions']);
    await ctl(`${name}-2`, 'quit');
    expect((await next.done).code).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 120_000);
