import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCipherRegistry, keyOf, luks2, memoryFile, openDisk, openRaw } from '@vm/vhd-crypt';
import { nodeCiphers, nodeKeyMath } from '@vm/vhd-crypt/node';
import { afterAll, describe, expect } from 'vitest';
import { GuestSession } from '../bench/guest-session.ts';
import { readIntegrityJournal } from '../packages/vhd-crypt/src/integrity-journal.ts';
import { parseSuperblock } from '../packages/vhd-crypt/src/integrity-layout.ts';
import { type CryptGuest, cryptGuest } from './crypt-guest.ts';
import { type GuestProgram, inBothMachines } from './crypt-machines.ts';
import { start, VM } from './vm-program.ts';

const MIB = 2 ** 20;
const GUEST = 'linux-image-cloud-amd64';
const SECRET = 'a secret of host and guest';
const WRITTEN_AT = MIB;
const written = Buffer.from(Array.from({ length: 60_000 }, (_, i) => `of-the-guest ${String(i).padStart(6, '0')}\n`).join('')).subarray(0, MIB);
/** How `vm disk` and cryptsetup are told. */
const KINDS = [
  { name: 'hmac', ours: ['hmac-sha256'], theirs: '--integrity hmac-sha256' },
  { name: 'aead', ours: ['aead'], theirs: '--cipher aes-gcm-random --key-size 256 --integrity aead' },
] as const;

const folder = mkdtempSync(join(tmpdir(), 'vm-dm-integrity-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const known = Buffer.alloc(4 * MIB);
for (let i = 0; i < known.length; i += 4) known.writeUInt32LE(Math.imul(i + 1, 0x9e3779b1) >>> 0, i);
const [ciphers, containers, keys] = [createCipherRegistry([nodeCiphers()]), [luks2({ math: nodeKeyMath() })], keyOf(Buffer.from(SECRET))];

async function contentsOf(path: string, writable: boolean): Promise<Buffer> {
  const file = memoryFile(path, readFileSync(path));
  const disk = await openDisk(file, { format: 'raw', containers, ciphers, keys, writable });
  const all = Buffer.alloc(disk.bytes);
  await disk.read(0, all);
  await disk.close();
  return all;
}

/** How many sectors wait in the journal of dm-integrity. */
async function waiting(path: string): Promise<number> {
  const image = readFileSync(path);
  const from = image.indexOf('integrt\0');
  const layout = parseSuperblock(image.subarray(from, from + 4096), image.length - from);
  if (typeof layout === 'string') throw new Error(layout);
  return (await readIntegrityJournal(await openRaw(memoryFile(path, image), false), from, layout)).found.size;
}

/** The guest reads ours, stores, makes its own and stores there; the last one it leaves open. */
function commands(): string[] {
  const store = (name: string): string => `dd if=/written of=/dev/mapper/${name} bs=64k seek=${WRITTEN_AT / (MIB / 16)} conv=fsync 2>/dev/null`;
  const format = (options: string, disk: string): string => `cryptsetup luksFormat -q --type luks2 ${options} --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --luks2-metadata-size 16k --luks2-keyslots-size 1m --key-file /key ${disk}`;
  const lines = ['export DM_DISABLE_UDEV=1', 'load-modules'];
  for (const [i, { name, theirs }] of KINDS.entries()) {
    const [our, their] = [`/dev/vd${'ab'[i]!}`, `/dev/vd${'cd'[i]!}`];
    lines.push(
      `cryptsetup open --key-file /key ${our} ours-${name} && sha256sum /dev/mapper/ours-${name}`, store(`ours-${name}`), `cryptsetup close ours-${name} && echo closed ours-${name}`,
      format(theirs, their), `cryptsetup open --key-file /key ${their} theirs-${name}`, store(`theirs-${name}`), `cryptsetup close theirs-${name} && echo closed theirs-${name}`,
    );
  }
  lines.push(format(KINDS[0].theirs, '/dev/vde'), 'sync', 'cryptsetup open --key-file /key /dev/vde crashed', `${store('crashed')} && echo stored crashed`);
  return lines;
}

let guest: Promise<CryptGuest> | null = null;
async function exchange(run: string, cryptsetup: string, program: GuestProgram): Promise<void> {
  writeFileSync(at('key'), SECRET);
  writeFileSync(at('known.img'), known);
  const { kernel, initrd } = await (guest ??= cryptGuest(GUEST, cryptsetup, folder, { key: Buffer.from(SECRET), written }));
  writeFileSync(at('initrd'), initrd);
  const ours = KINDS.map(({ name }) => at(`${run}-ours-${name}.img`));
  for (const [i, { ours: how }] of KINDS.entries()) {
    const { code, errors } = await start([...VM, 'disk', 'convert', at('known.img'), ours[i]!, '--encrypt', 'payload', '--luks', '2', '--integrity', ...how, '--kdf', 'argon2id', '--iterations', '1', '--kdf-memory', '64K', '--new-key-file', at('key')], '').done;
    expect({ code, errors }).toMatchObject({ code: 0 });
  }
  const empty = [...KINDS.map(({ name }) => `theirs-${name}`), 'crashed'].map((name) => at(`${run}-${name}.img`));
  for (const path of empty) {
    writeFileSync(path, '');
    truncateSync(path, 8 * MIB);
  }
  const session = new GuestSession(program(kernel, at('initrd'), [...ours, ...empty]));
  let said = '';
  try {
    await session.ready();
    for (const command of commands()) said += (await session.run(command)).output;
  } finally {
    // As if its power had gone.
    session.kill();
  }
  const expected = Buffer.from(known);
  written.copy(expected, WRITTEN_AT);
  for (const [i, { name }] of KINDS.entries()) {
    expect(said).toContain(`${digest(known)}  /dev/mapper/ours-${name}`);
    for (const who of ['ours', 'theirs']) expect(said).toContain(`closed ${who}-${name}\r`);
    for (const writable of [false, true]) {
      expect(digest(await contentsOf(ours[i]!, writable))).toBe(digest(expected));
      expect(digest((await contentsOf(empty[i]!, writable)).subarray(WRITTEN_AT, WRITTEN_AT + written.length))).toBe(digest(written));
    }
  }
  expect(said).toContain('stored crashed\r');
  const crashed = empty.at(-1)!;
  expect(await waiting(crashed)).toBeGreaterThan(0);
  for (const writable of [false, true]) expect(digest((await contentsOf(crashed, writable)).subarray(WRITTEN_AT, WRITTEN_AT + written.length))).toBe(digest(written));
}

describe('a Debian guest with dm-integrity opens the disks with tags that are made here, stores there, and makes disks that open here, from its journal too (VHD-34)', { timeout: 1_800_000 }, () => {
  inBothMachines(exchange);
});
