import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { type CpioEntry, writeCpio } from '@vm/cli';
import { build } from 'tsup';
import { guestWithModules, librariesOf } from './crypt-guest.ts';

const GUEST = 'linux-image-cloud-amd64';
const MODULES = ['virt/lib/irqbypass', 'arch/x86/kvm/kvm', 'drivers/crypto/ccp/ccp', 'arch/x86/kvm/kvm-amd'];
const MEMORY_MIB = 1536;

export interface NestedImage {
  readonly kernel: string;
  readonly initrd: string;
}

/** A Linux with Node.js, koffi, the modules of KVM, our packages in one file, and a guest to boot in it. */
export async function nestedImage(folder: string): Promise<NestedImage> {
  const { guest, modules } = await guestWithModules(GUEST, MODULES, folder);
  await build({ entry: { program: fileURLToPath(new URL('nested-program.ts', import.meta.url)), 'kvm-thread': fileURLToPath(new URL('../packages/vcpu-kvm/src/thread-main.ts', import.meta.url)) }, outDir: join(folder, 'app'), format: ['esm'], config: false, silent: true, platform: 'node', target: 'node24', noExternal: [/^@vm\//], external: ['koffi'], esbuildOptions: (options) => { options.conditions = ['vm-source']; } });
  const built = readdirSync(join(folder, 'app')).filter((name) => name.endsWith('.js') || name.endsWith('.mjs'));
  const file = (path: string, bytes: Uint8Array, mode = 0o644): CpioEntry => ({ kind: 'file', path, bytes, mode });
  const koffi = packageFolder('koffi', fileURLToPath(new URL('../packages/vcpu-kvm/package.json', import.meta.url)));
  const binary = packageFolder('@koromix/koffi-linux-x64', join(koffi, 'package.json'));
  const tree = [...filesOf(koffi, 'app/node_modules/koffi'), ...filesOf(binary, 'app/node_modules/@koromix/koffi-linux-x64')].filter(([path]) => !/\/(vendor|doc|musl_x64)\//.test(path));
  const files: CpioEntry[] = [
    ...librariesOf(process.execPath).map((path) => file(path.slice(1).replace(/^usr\//, ''), readFileSync(path), 0o755)),
    file('app/node', readFileSync(process.execPath), 0o755),
    ...built.map((name) => file(`app/${name}`, readFileSync(join(folder, 'app', name)))),
    file('app/package.json', Buffer.from('{"type":"module"}')),
    ...tree.map(([path, from]) => file(path, readFileSync(from), 0o755)),
    ...modules.map(({ name, bytes }) => file(`kvm-modules/${name}`, bytes)),
    file('app/kernel', readFileSync(guest.kernel)),
    file('app/initrd', readFileSync(guest.initrd)),
    file('init', Buffer.from([
      '#!/bin/busybox sh', '/bin/busybox --install -s', 'mount -t proc proc /proc', 'mount -t sysfs sys /sys', 'mount -t devtmpfs dev /dev', ...modules.map(({ name }) => `insmod /kvm-modules/${name}`),
      '/app/node /app/program.js', 'echo "@@[\\"code\\", $?]"', 'poweroff -f', '',
    ].join('\n')), 0o755),
  ];
  const folders = [...new Set(files.flatMap(({ path }) => parentsOf(path)))].sort();
  const initrd = join(folder, 'nested.cpio');
  writeFileSync(initrd, Buffer.concat([gunzipSync(readFileSync(guest.initrd)), writeCpio([...folders.map((path): CpioEntry => ({ kind: 'folder', path })), ...files])]));
  return { kernel: guest.kernel, initrd };
}

/** What the program inside has told, in order. `words`: for it, on the kernel's command line. `processors`: of the machine around it. `heard` gets every line. */
export async function runNested(qemu: string, { kernel, initrd }: NestedImage, cpu: string, words: string, processors = 1, heard: (line: string) => void = () => undefined): Promise<readonly (readonly [what: string, value: unknown])[]> {
  const child = spawn(qemu, [
    '-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio', '-m', String(MEMORY_MIB), '-smp', String(processors), '-accel', `tcg,thread=${processors === 1 ? 'single' : 'multi'}`, '-cpu', cpu, '-kernel', kernel, '-initrd', initrd, '-append', `console=ttyS0 quiet cryptomgr.notests panic=-1 ${words}`,
  ], { stdio: ['ignore', 'pipe', 'inherit'] });
  const told: (readonly [string, unknown])[] = [];
  let rest = '';
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('latin1')).split(/\r*\n/);
    rest = lines.pop()!;
    for (const line of lines) {
      heard(line);
      const at = line.indexOf('@@[');
      if (at >= 0) told.push(JSON.parse(line.slice(at + 2)) as [string, unknown]);
    }
  });
  const stop = (): void => void child.kill('SIGKILL');
  process.once('exit', stop);
  await new Promise((resolve) => child.on('close', resolve));
  process.removeListener('exit', stop);
  return told;
}

function packageFolder(name: string, from: string): string { return dirname(createRequire(from).resolve(name)); }

function filesOf(folder: string, to: string): (readonly [path: string, from: string])[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => statSync(join(folder, path)).isFile()).map((path) => [`${to}/${path}`, join(folder, path)]);
}

function parentsOf(path: string): string[] {
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join('/'));
}
