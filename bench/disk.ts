import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adiantumCiphers, createDisk, type CreateDiskOptions, keyOf, luks1, luks2, nobleCiphers, openDisk, type OpenedDisk } from '@vm/vhd-crypt';
import { nodeKeyMath, openImageFile, standardCiphers, workerCiphers } from '@vm/vhd-crypt/node';
import { findOracle } from '@vm/testkit/oracle';
import { chromiumRows } from './chromium-disks.ts';
import { guestRows } from './guest-disks.ts';
import { connectNbd, type NbdClient } from './nbd-client.ts';
import { type Benchmark, median, type Row, row } from './registry.ts';

/** What is read and written, wherever it is. */
interface Target {
  readonly bytes: number;
  read(at: number, into: Uint8Array): Promise<void>;
  write(at: number, from: Uint8Array): Promise<void>;
  flush(): Promise<void>;
}
interface Load {
  readonly name: string;
  readonly write: boolean;
  readonly random: boolean;
  readonly bytes: number;
  readonly depth: number;
}

const KIB = 1024;
const MIB = KIB * KIB;
const LOADS: readonly Load[] = [true, false].flatMap((write) => [
  { random: false, bytes: MIB, depth: 1 },
  { random: false, bytes: MIB, depth: 32 },
  { random: false, bytes: 64 * KIB, depth: 32 },
  { random: false, bytes: 4 * KIB, depth: 32 },
  { random: true, bytes: 4 * KIB, depth: 1 },
  { random: true, bytes: 4 * KIB, depth: 32 },
].map((load) => ({ ...load, write, name: `${load.random ? 'random' : 'sequential'} ${write ? 'writes' : 'reads'}, ${load.bytes / KIB} KiB, depth ${load.depth}` })));
const SECRET = 'correct horse';
const [ADIANTUM, SEALED] = ['xchacha12,aes-adiantum-plain64', 'aes-ocb-random'];

/** What can be measured by itself. */
const PARTS: readonly string[] = ['cipher', 'luks1', 'luks2', 'adiantum', 'sealed', 'nbd', 'chromium', 'guest'];

/** Encrypted disks: the same LUKS1 container in a fixed VHD here and in QEMU, in turn. */
export const disk: Benchmark = {
  summary: 'encrypted disks, in process and over NBD, against qemu-nbd with luks over vpc; in Chromium; and in a guest, against plain ones',
  options: { rows: `of ${PARTS.join(', ')}; default: all` },
  async run({ quick, rows = PARTS.join(',') }) {
    const parts = new Set(rows.split(','));
    for (const part of parts) if (!PARTS.includes(part)) throw new RangeError(`there are no rows of ${part}, only of ${PARTS.join(', ')}`);
    const found: Row[] = [];
    const add = async (part: string, measured: () => Promise<Row[]>): Promise<void> => {
      if (!parts.has(part)) return;
      console.error(`rows of ${part}`);
      found.push(...(await measured()));
    };
    const folder = mkdtempSync(join(tmpdir(), 'vm-bench-disk-'));
    const bytes = (quick ? 64 : 512) * MIB;
    const [runs, milliseconds] = quick ? [3, 150] : [5, 1000];
    const children: ChildProcess[] = [];
    try {
      writeFileSync(join(folder, 'secret'), SECRET);
      const paths = { encrypted: join(folder, 'encrypted.vhd'), plain: join(folder, 'plain.vhd'), luks2: join(folder, 'luks2.vhd') };
      const [adiantum, sealed] = [join(folder, 'adiantum.vhd'), join(folder, 'sealed.vhd')];
      await makeDisk(paths.encrypted, { bytes, crypt: 'payload' });
      await makeDisk(paths.plain, { bytes });
      await makeDisk(paths.luks2, { bytes, crypt: 'payload' }, 'aes-xts-plain64');
      await makeDisk(adiantum, { bytes, crypt: 'payload' }, ADIANTUM);
      await makeDisk(sealed, { bytes, crypt: 'payload' }, SEALED);
      await add('cipher', async () => [...(await cipherRows(quick, 512)), ...(await cipherRows(quick, 4096)), ...(await adiantumRows(quick)), ...(await sealedRows(quick))]);
      await add('luks1', () => inProcess('in process: ', paths.encrypted, paths.plain, runs, milliseconds));
      await add('luks2', () => inProcess('in process, LUKS2 with sectors of 4 KiB: ', paths.luks2, paths.plain, runs, milliseconds));
      // Against the usual cipher in the same path, and not against none.
      await add('adiantum', () => inProcess('in process, Adiantum with sectors of 4 KiB: ', adiantum, paths.luks2, runs, milliseconds, 'AES-XTS'));
      await add('sealed', () => inProcess('in process, sealed sectors: ', sealed, paths.luks2, runs, milliseconds, 'AES-XTS'));
      await add('nbd', () => overNbd(paths.encrypted, folder, children, runs, milliseconds));
      await add('chromium', () => chromiumRows([SEALED, ADIANTUM], quick));
      await add('guest', () => guestRows({ ...paths, secret: join(folder, 'secret') }, folder, quick));
      return found;
    } finally {
      await stop(children);
      rmSync(folder, { recursive: true });
    }
  },
};

const ciphers = standardCiphers();
const math = nodeKeyMath();
const keys = keyOf(new TextEncoder().encode(SECRET));

async function makeDisk(path: string, options: Pick<CreateDiskOptions, 'bytes' | 'crypt'>, luks2Cipher?: string): Promise<void> {
  const file = await openImageFile(path, { create: true });
  const luks = luks2Cipher !== undefined ? { version: 2, math, ciphers, keys, cipher: luks2Cipher, cost: { kdf: 'pbkdf2', iterations: 1000 }, sectorBytes: 4096 } as const : { math, ciphers, keys, iterations: 1000 };
  await createDisk(file, { format: 'vhd', type: 'fixed', luks, ...options });
  await file.close();
  const opened = await open(path);
  // Every byte is there, and in the host's cache.
  const chunk = new Uint8Array(4 * MIB).map((_, i) => i * 7);
  for (let at = 0; at < opened.bytes; at += chunk.length) await opened.write(at, chunk.subarray(0, Math.min(chunk.length, opened.bytes - at)));
  await opened.close();
}

async function open(path: string): Promise<OpenedDisk> {
  return openDisk(await openImageFile(path, { writable: true }), { format: 'vhd', containers: [luks1({ math }), luks2({ math })], ciphers, fallbackKeys: keys });
}

async function inProcess(prefix: string, encrypted: string, unencrypted: string, runs: number, milliseconds: number, peerName = 'no encryption'): Promise<Row[]> {
  const [ours, plain] = [await open(encrypted), await open(unencrypted)];
  try {
    return await compare(prefix, ours, plain, peerName, runs, milliseconds);
  } finally {
    await ours.close();
    await plain.close();
  }
}

async function overNbd(path: string, folder: string, children: ChildProcess[], runs: number, milliseconds: number): Promise<Row[]> {
  const qemuNbd = findOracle('qemu-nbd');
  const [our, their] = [join(folder, 'our.sock'), join(folder, 'their.sock')];
  const main = new URL('../packages/cli/src/main.ts', import.meta.url).pathname;
  children.push(spawn(process.execPath, [...process.execArgv, main, 'disk', 'export', path, '--key-file', join(folder, 'secret'), '--socket', our], { stdio: ['ignore', 'ignore', 'inherit'] }));
  const ours = await connectWhenReady(our);
  let peer: NbdClient | null = null;
  if (qemuNbd !== null) {
    const image = `driver=luks,key-secret=s0,file.driver=vpc,file.file.driver=file,file.file.filename=${path}`;
    children.push(spawn(qemuNbd, ['-t', '-k', their, '--object', `secret,id=s0,file=${join(folder, 'secret')}`, '--image-opts', image], { stdio: ['ignore', 'ignore', 'inherit'] }));
    peer = await connectWhenReady(their);
    if (peer.bytes !== ours.bytes) throw new Error(`the disk has ${ours.bytes} bytes here and ${peer.bytes} in QEMU`);
  }
  const rows = await compare('NBD: ', ours, peer, 'qemu-nbd', runs, milliseconds);
  ours.close();
  peer?.close();
  await stop(children); // the disk is for one writer at a time
  return rows;
}

async function stop(children: ChildProcess[]): Promise<void> {
  await Promise.all(children.splice(0).map((child) => new Promise((resolve) => {
    if (child.exitCode !== null) return resolve(null);
    child.once('exit', resolve);
    return child.kill('SIGTERM');
  })));
}

async function connectWhenReady(path: string): Promise<NbdClient> {
  for (let attempt = 0; ; attempt++) {
    if (existsSync(path)) {
      try {
        return await connectNbd(path);
      } catch (error) {
        if (attempt > 200) throw error;
      }
    } else if (attempt > 200) throw new Error(`no server at ${path}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** In turn, so that what else goes on in the host touches both. */
async function compare(prefix: string, ours: Target, peer: Target | null, peerName: string, runs: number, milliseconds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const load of LOADS) {
    const [mine, theirs]: [number[], number[]] = [[], []];
    for (let run = 0; run < runs; run++) {
      mine.push(await measure(ours, load, milliseconds, run));
      if (peer !== null) theirs.push(await measure(peer, load, milliseconds, run));
    }
    rows.push(row(`${prefix}${load.name}`, 'MiB/s', runs, median(mine), ...(peer === null ? [] : [{ name: peerName, value: median(theirs) }])));
  }
  return rows;
}

async function measure(target: Target, load: Load, milliseconds: number, seed: number): Promise<number> {
  const buffers = Array.from({ length: load.depth }, () => new Uint8Array(load.bytes).fill(0x5a));
  const places = Math.floor(target.bytes / load.bytes);
  let state = seed * 7919 + 1;
  let place = 0;
  const next = (): number => {
    if (load.random) state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (load.random ? state % places : place++ % places) * load.bytes;
  };
  let done = 0;
  const begin = performance.now();
  const end = begin + milliseconds;
  await Promise.all(buffers.map(async (buffer) => {
    do {
      if (load.write) await target.write(next(), buffer);
      else await target.read(next(), buffer);
      done += load.bytes;
    } while (performance.now() < end);
  }));
  const seconds = (performance.now() - begin) / 1000;
  if (load.write) await target.flush();
  return done / MIB / seconds;
}

/** Each engine alone, on sectors of one size, against what OpenSSL says of itself. */
async function cipherRows(quick: boolean, sectorBytes: number): Promise<Row[]> {
  const runs = quick ? 5 : 15;
  const openssl = findOracle('openssl');
  const peer = openssl === null ? null : opensslSpeed(openssl, quick ? 1 : 3, sectorBytes);
  const rows: Row[] = [];
  const bytes = new Uint8Array(4 * MIB);
  for (const module of [...ciphers.modules, ...ciphers.modules.map((inProcess) => workerCiphers({ module: inProcess, workers: 2 }))]) {
    if (!(await module.isAvailable()) || !module.ciphers.includes('aes-xts-plain64')) continue;
    const cipher = await module.create('aes-xts-plain64', Uint8Array.from({ length: 64 }, (_, i) => i), sectorBytes);
    const part = module.engine.startsWith('noble') ? bytes.subarray(0, MIB / 4) : bytes;
    const speeds: number[] = [];
    for (let run = 0; run < runs; run++) {
      const begin = performance.now();
      await cipher.encrypt(part, part, 0);
      speeds.push(part.length / MIB / ((performance.now() - begin) / 1000));
    }
    await cipher.close();
    rows.push(row(`aes-256-xts, ${sectorBytes}-byte sectors, engine ${module.engine}`, 'MiB/s', runs, Math.max(...speeds), ...(peer === null ? [] : [{ name: 'openssl speed', value: peer }])));
  }
  return rows;
}

/** The wide-block cipher, against AES-XTS as hosts without AES in their processors have it. */
async function adiantumRows(quick: boolean): Promise<Row[]> {
  const runs = quick ? 3 : 15;
  const speeds = new Map<string, number>();
  for (const [module, name, keyBytes] of [[adiantumCiphers(), ADIANTUM, 32], [nobleCiphers(), 'aes-xts-plain64', 64]] as const) {
    const cipher = await module.create(name, Uint8Array.from({ length: keyBytes }, (_, i) => i), 4096);
    speeds.set(name, await fastest(runs, MIB / 4, (part) => cipher.encrypt(part, part, 0)));
    await cipher.close();
  }
  return [row('adiantum, 4096-byte sectors, in JavaScript', 'MiB/s', runs, speeds.get(ADIANTUM)!, { name: 'aes-256-xts in JavaScript', value: speeds.get('aes-xts-plain64')! })];
}

/** What proves its sectors, both ways, against AES-XTS of the same engine. */
async function sealedRows(quick: boolean): Promise<Row[]> {
  const runs = quick ? 3 : 15;
  const rows: Row[] = [];
  const numbers = Array.from({ length: MIB / 4096 }, (_, i) => 8 * i);
  for (const module of ciphers.modules) {
    if (module.createSealed === undefined || !(await module.isAvailable())) continue;
    const [sealed, xts] = [await module.createSealed(SEALED, Uint8Array.from({ length: 32 }, (_, i) => i), 4096), await module.create('aes-xts-plain64', Uint8Array.from({ length: 64 }, (_, i) => i), 4096)];
    const records = new Uint8Array(numbers.length * sealed.recordBytes);
    const stored = new Uint8Array(MIB);
    const [seal, encrypt] = [await fastest(runs, MIB, (part) => sealed.seal(part, stored, records, numbers)), await fastest(runs, MIB, (part) => xts.encrypt(part, part, 0))];
    const [opened, decrypt] = [await fastest(runs, MIB, (part) => sealed.open(stored, part, records, numbers)), await fastest(runs, MIB, (part) => xts.decrypt(part, part, 0))];
    rows.push(row(`aes-256-ocb, sealing 4096-byte sectors, engine ${module.engine}`, 'MiB/s', runs, seal, { name: 'aes-256-xts', value: encrypt }));
    rows.push(row(`aes-256-ocb, opening 4096-byte sectors, engine ${module.engine}`, 'MiB/s', runs, opened, { name: 'aes-256-xts', value: decrypt }));
    await Promise.all([sealed.close(), xts.close()]);
  }
  return rows;
}

/** In MiB a second. */
async function fastest(runs: number, bytes: number, work: (part: Uint8Array) => Promise<unknown>): Promise<number> {
  const part = new Uint8Array(bytes);
  let least = Infinity;
  for (let run = 0; run < runs; run++) {
    const begin = performance.now();
    await work(part);
    least = Math.min(least, performance.now() - begin);
  }
  return bytes / MIB / (least / 1000);
}

function opensslSpeed(program: string, seconds: number, sectorBytes: number): number {
  const told = execFileSync(program, ['speed', '-mr', '-elapsed', '-seconds', String(seconds), '-bytes', String(sectorBytes), '-evp', 'aes-256-xts'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const figure = /^\+F:\d+:AES-256-XTS:([\d.]+)$/im.exec(told)?.[1];
  if (figure === undefined) throw new Error(`openssl speed said ${JSON.stringify(told)}`);
  return Number(figure) / MIB;
}
