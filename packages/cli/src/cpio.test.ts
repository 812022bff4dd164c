import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { itWithOracle } from '@vm/testkit/oracle';
import { expect, it } from 'vitest';
import { type CpioEntry, writeCpio } from './cpio.ts';

const ENTRIES: readonly CpioEntry[] = [
  { kind: 'folder', path: 'bin' },
  { kind: 'folder', path: 'bin/ä b', mode: 0o700 },
  { kind: 'file', path: 'bin/odd', bytes: Uint8Array.from([1, 2, 3]), mode: 0o755 },
  { kind: 'file', path: 'empty', bytes: new Uint8Array(0) },
  { kind: 'link', path: 'bin/sh', target: 'odd' },
  { kind: 'character-device', path: 'console', major: 5, minor: 1, mode: 0o620 },
];

it('writes the header field by field', () => {
  const [header] = new TextDecoder().decode(writeCpio([{ kind: 'file', path: 'abc', bytes: Uint8Array.from([0x78]), mode: 0o600 }])).split('TRAILER');
  expect(header).toBe(
    '070701' + '00000001' + '00008180' + '00000000' + '00000000' + '00000001' + '00000000' + '00000001' + '00000000' + '00000000' + '00000000'
    + '00000000' + '00000004' + '00000000' + 'abc\0' + '\0\0' + 'x\0\0\0'
    + '070701' + '00000000' + '00000000' + '00000000' + '00000000' + '00000001' + '00000000' + '00000000' + '00000000' + '00000000' + '00000000'
    + '00000000' + '0000000b' + '00000000',
  );
});

it('gives the same bytes for the same entries, in whole blocks', () => {
  const archive = writeCpio(ENTRIES);
  expect(archive).toEqual(writeCpio(ENTRIES));
  expect(archive.length % 512).toBe(0);
});

itWithOracle(it, 'cpio', 'is listed by cpio as it was meant', (cpio) => {
  const { stdout, stderr, status } = spawnSync(cpio, ['-tv', '--numeric-uid-gid', '--quiet'], { input: writeCpio(ENTRIES), env: { TZ: 'UTC', LC_ALL: 'C.UTF-8' } });
  expect([status, stderr.toString()]).toEqual([0, '']);
  expect(stdout.toString().replaceAll(/ +/g, ' ').trimEnd().split('\n')).toEqual([
    'drwxr-xr-x 2 0 0 0 Jan 1 1970 bin',
    'drwx------ 2 0 0 0 Jan 1 1970 bin/ä b',
    '-rwxr-xr-x 1 0 0 3 Jan 1 1970 bin/odd',
    '-rw-r--r-- 1 0 0 0 Jan 1 1970 empty',
    'lrwxrwxrwx 1 0 0 3 Jan 1 1970 bin/sh -> odd',
    'crw--w---- 1 0 0 5, 1 Jan 1 1970 console',
  ]);
});

itWithOracle(it, 'cpio', 'unpacks to the same files', (cpio) => {
  const folder = mkdtempSync(join(tmpdir(), 'vm-cpio-'));
  try {
    const plain = ENTRIES.filter((entry) => entry.kind !== 'character-device');
    const { status } = spawnSync(cpio, ['-idm', '--quiet', '--no-preserve-owner'], { input: writeCpio(plain), cwd: folder });
    expect(status).toBe(0);
    expect(readFileSync(join(folder, 'bin/odd'))).toEqual(Buffer.from([1, 2, 3]));
    expect(statSync(join(folder, 'bin/odd')).mode & 0o7777).toBe(0o755);
    expect(readlinkSync(join(folder, 'bin/sh'))).toBe('odd');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
