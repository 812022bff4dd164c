import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect } from 'vitest';
import { GuestSession } from '../bench/guest-session.ts';
import { type CryptGuest, cryptGuest } from './crypt-guest.ts';
import { type GuestProgram, inBothMachines } from './crypt-machines.ts';
import { start, VM } from './vm-program.ts';

const MIB = 2 ** 20;
const GUEST = 'linux-image-cloud-amd64';
const SECRET = 'a secret of host and guest';
/** What the guest stores, and where: lines that are all different. */
const WRITTEN_AT = 3 * MIB;
const written = Buffer.from(Array.from({ length: 100_000 }, (_, i) => `of-the-guest ${String(i).padStart(6, '0')}\n`).join('')).subarray(0, 1.5 * MIB);
/** How a disk is encrypted: by `vm disk`, and by cryptsetup. */
const KINDS = [
  { name: '512', cipher: 'aes-xts-plain64', sectorBytes: 512, keyBits: 512 },
  { name: '4096', cipher: 'aes-xts-plain64', sectorBytes: 4096, keyBits: 512 },
  { name: 'adiantum', cipher: 'xchacha12,aes-adiantum-plain64', sectorBytes: 4096, keyBits: 256 },
] as const;

const folder = mkdtempSync(join(tmpdir(), 'vm-dm-crypt-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const key = (path: string): string => `${path},key=file:${at('key')}`;

const known = Buffer.alloc(8 * MIB);
for (let i = 0; i < known.length; i += 4) known.writeUInt32LE(Math.imul(i + 1, 0x9e3779b1) >>> 0, i);

async function vm(...args: readonly string[]): Promise<void> {
  const { code, errors } = await start([...VM, ...args], '').done;
  expect({ code, errors }).toMatchObject({ code: 0 });
}

async function contentsOf(image: string): Promise<Buffer> {
  rmSync(at('back.img'), { force: true });
  await vm('disk', 'convert', key(image), at('back.img'));
  return readFileSync(at('back.img'));
}

async function expectWritten(image: string): Promise<void> {
  expect(digest((await contentsOf(image)).subarray(WRITTEN_AT, WRITTEN_AT + written.length))).toBe(digest(written));
}

/** What the guest is told: it reads what was made here, stores, makes disks of its own, stores there too. */
function commands(): string[] {
  const store = (name: string): string => `dd if=/written of=/dev/mapper/${name} bs=512k seek=${WRITTEN_AT / (MIB / 2)} conv=fsync 2>/dev/null`;
  const lines = ['export DM_DISABLE_UDEV=1', 'load-modules'];
  for (const [i, { name, cipher, sectorBytes, keyBits }] of KINDS.entries()) {
    const [ours, theirs] = [`/dev/vd${'abc'[i]!}`, `/dev/vd${'def'[i]!}`];
    lines.push(
      `cryptsetup open --type luks2 --key-file /key ${ours} ours-${name} && sha256sum /dev/mapper/ours-${name}`,
      `echo ours-${name} sectors of $(cat /sys/block/dm-0/queue/logical_block_size)`,
      store(`ours-${name}`),
      `cryptsetup close ours-${name} && echo closed ours-${name}`,
      `cryptsetup luksFormat -q --type luks2 --cipher ${cipher} --key-size ${keyBits} --sector-size ${sectorBytes} --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 64 --pbkdf-parallel 1 --luks2-metadata-size 16k --luks2-keyslots-size 1m --key-file /key ${theirs}`,
      `cryptsetup open --key-file /key ${theirs} theirs-${name}`,
      store(`theirs-${name}`),
      `cryptsetup close theirs-${name} && echo closed theirs-${name}`,
    );
  }
  lines.push(
    'cryptsetup luksFormat -q --type luks2 --integrity hmac-sha256 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --luks2-metadata-size 16k --luks2-keyslots-size 1m --key-file /key /dev/vdg',
    'cryptsetup open --key-file /key /dev/vdg authenticated',
    store('authenticated'),
    'cryptsetup close authenticated && echo closed authenticated',
    'sync',
  );
  return lines;
}

/** The disks of one run: three made here, three empty ones, and one for dm-integrity. */
async function makeDisks(run: string): Promise<{ readonly ours: string[]; readonly theirs: string[]; readonly authenticated: string }> {
  const ours: string[] = [];
  for (const { name, cipher, sectorBytes, keyBits } of KINDS) {
    const path = at(`${run}-ours-${name}.img`);
    await vm('disk', 'convert', at('known.img'), path, '--encrypt', 'payload', '--luks', '2', '--cipher', cipher, '--key-bits', String(keyBits), '--sector-bytes', String(sectorBytes), '--kdf', 'argon2id', '--iterations', '1', '--kdf-memory', '64K', '--new-key-file', at('key'));
    ours.push(path);
  }
  const empty = [...KINDS.map(({ name }) => `theirs-${name}`), 'authenticated'].map((name) => at(`${run}-${name}.img`));
  for (const path of empty) {
    writeFileSync(path, '');
    truncateSync(path, 12 * MIB);
  }
  return { ours, theirs: empty.slice(0, KINDS.length), authenticated: empty.at(-1)! };
}

let guest: Promise<CryptGuest> | null = null;
async function exchange(run: string, cryptsetup: string, program: GuestProgram): Promise<void> {
  writeFileSync(at('key'), SECRET);
  writeFileSync(at('known.img'), known);
  const { kernel, initrd } = await (guest ??= cryptGuest(GUEST, cryptsetup, folder, { key: Buffer.from(SECRET), written }));
  writeFileSync(at('initrd'), initrd);
  const { ours, theirs, authenticated } = await makeDisks(run);
  const session = new GuestSession(program(kernel, at('initrd'), [...ours, ...theirs, authenticated]));
  let said = '';
  try {
    await session.ready();
    // One after the other, as QEMU's firmware takes what is typed before the guest reads it.
    for (const command of commands()) said += (await session.run(command)).output;
    await session.powerOff();
  } finally {
    session.kill();
  }
  for (const [i, { name, sectorBytes }] of KINDS.entries()) {
    expect(said).toContain(`${digest(known)}  /dev/mapper/ours-${name}`);
    expect(said).toContain(`ours-${name} sectors of ${sectorBytes}`);
    for (const who of ['ours', 'theirs']) expect(said).toContain(`closed ${who}-${name}\r`);
    const back = await contentsOf(ours[i]!);
    const expected = Buffer.from(known);
    written.copy(expected, WRITTEN_AT);
    expect(digest(back)).toBe(digest(expected));
    await expectWritten(theirs[i]!);
    for (const path of [ours[i]!, theirs[i]!]) expect(readFileSync(path).includes('of-the-guest')).toBe(false);
  }
  expect(said).toContain('closed authenticated\r');
  await expectWritten(authenticated);
}

describe('a Debian guest with dm-crypt opens the LUKS2 that is made here, stores there, and makes disks that open here (VHD-33)', { timeout: 1_800_000 }, () => {
  inBothMachines(exchange);
});
