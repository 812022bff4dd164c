import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { itWithOracle } from '@vm/testkit/oracle';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { architectureOf, fetchGuest } from './guest-fetch.ts';
import { GuestCache } from './guest-cache.ts';
import type { Progress } from './progress.ts';

const disk = vi.hoisted((): { free: number | null } => ({ free: null })); // blocks of 4 KiB; null: as it is
vi.mock(import('node:fs'), async (original) => {
  const real = await original();
  const statfsSync = ((path: string) => (disk.free === null ? real.statfsSync(path) : { bavail: disk.free, bsize: 4096 })) as typeof real.statfsSync;
  return { ...real, statfsSync };
});

it.each([
  ['linux-image-cloud-amd64', 'amd64'], ['linux-image-amd64', 'amd64'], ['linux-image-686', 'i386'], ['linux-image-686-pae', 'i386'], ['linux-image-6.1.0-50-686', 'i386'],
])('takes %s for %s', (name, architecture) => {
  expect(architectureOf(name)).toBe(architecture);
});

describe('with an archive of its own', () => {
  const KERNEL = Buffer.alloc(700_000, 'kernel');
  let folder = '';
  let server: Server;
  let requests: { readonly path: string; readonly range: string | undefined }[] = [];
  let answer: (path: string, response: ServerResponse, bytes: Buffer, from: number) => void;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vm-fetch-'));
    requests = [];
    answer = (_path, response, bytes, from) => void response.end(bytes.subarray(from));
    server = createServer((request, response) => serve(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true });
  });

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent(request.url ?? '');
    const file = join(folder, 'archive', path);
    requests.push({ path, range: request.headers.range });
    if (!existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    const bytes = readFileSync(file);
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': bytes.length - from,
      'last-modified': statSync(file).mtime.toUTCString(),
      'accept-ranges': 'bytes',
      ...(from > 0 ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
    });
    answer(path, response, bytes, from);
  }

  /** A Debian package with one file, in the pool of the archive; returns its paragraph for the list of packages. */
  function pack(name: string, depends: string, path: string | null, contents: Buffer): string {
    const tree = join(folder, 'tree', name);
    mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
    const control = `Package: ${name}\nVersion: 1.0-1\nArchitecture: amd64\nMaintainer: nobody <nobody@localhost>\n${depends === '' ? '' : `Depends: ${depends}\n`}Description: made by a test\n`;
    writeFileSync(join(tree, 'DEBIAN/control'), control);
    if (path !== null) {
      mkdirSync(join(tree, path, '..'), { recursive: true });
      writeFileSync(join(tree, path), contents);
    }
    mkdirSync(join(folder, 'archive/pool'), { recursive: true });
    const file = join(folder, 'archive/pool', `${name}_1.0-1_amd64.deb`);
    expect(spawnSync('dpkg-deb', ['--build', '-Znone', '--root-owner-group', tree, file]).status).toBe(0);
    const bytes = readFileSync(file);
    return `${control}Filename: pool/${name}_1.0-1_amd64.deb\nSize: ${bytes.length}\nSHA256: ${createHash('sha256').update(bytes).digest('hex')}\n`;
  }

  function makeArchive(): string {
    const paragraphs = [
      pack('linux-image-x', 'linux-image-1-x (= 1.0-1)', null, Buffer.alloc(0)),
      pack('linux-image-1-x', '', 'boot/vmlinuz-1-x', KERNEL),
      pack('busybox-static', '', 'bin/busybox', Buffer.from('busybox')),
    ];
    mkdirSync(join(folder, 'archive/dists/test/main/binary-amd64'), { recursive: true });
    writeFileSync(join(folder, 'archive/dists/test/main/binary-amd64/Packages'), paragraphs.join('\n'));
    return `deb [trusted=yes] http://127.0.0.1:${(server.address() as AddressInfo).port} test main\n`;
  }

  function watch(): Progress & { readonly steps: string[] } {
    const steps: string[] = [];
    return { steps, step: (text) => steps.push(text), percent: () => {}, done: () => {} };
  }

  itWithOracle(it, 'apt-get', 'follows a metapackage, stores what it found, and then needs the network no more', async () => {
    const sources = makeArchive();
    const cache = new GuestCache(join(folder, 'cache'));
    const progress = watch();
    const guest = await fetchGuest(cache, 'linux-image-x', progress, { sources });
    expect(readFileSync(guest.kernel)).toEqual(KERNEL);
    expect(guest.record.packages.map(({ name, version }) => `${name} ${version}`)).toEqual(['linux-image-1-x 1.0-1', 'busybox-static 1.0-1']);
    expect(progress.steps).toEqual([
      'reading the lists of packages (amd64)', 'fetching linux-image-1-x 1.0-1', 'unpacking linux-image-1-x', 'fetching busybox-static 1.0-1', 'unpacking busybox-static',
    ]);
    requests = [];
    expect(await fetchGuest(cache, 'linux-image-x', watch(), { sources })).toEqual(guest);
    expect(requests).toEqual([]);
    expect(readdirSync(join(folder, 'cache')).sort()).toEqual(['apt', 'guests']);
  });

  itWithOracle(it, 'apt-get', 'goes on where an interrupted download stopped', async () => {
    const sources = makeArchive();
    let cuts = 2;
    answer = (path, response, bytes, from) => {
      if (!path.includes('linux-image-1-x') || cuts-- <= 0) response.end(bytes.subarray(from));
      else response.write(bytes.subarray(from, from + 200_000), () => response.destroy());
    };
    const guest = await fetchGuest(new GuestCache(join(folder, 'cache')), 'linux-image-x', watch(), { sources });
    expect(readFileSync(guest.kernel)).toEqual(KERNEL);
    const ranges = requests.filter(({ path }) => path.includes('linux-image-1-x')).map(({ range }) => range);
    expect(ranges[0]).toBeUndefined();
    expect(ranges.length).toBeGreaterThan(1);
    expect(ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? ''))).toBe(true);
  });

  itWithOracle(it, 'apt-get', 'goes on where an earlier fetch gave up, of which nothing but the beginning of the download is left', async () => {
    const sources = makeArchive();
    const cache = new GuestCache(join(folder, 'cache'));
    answer = (path, response, bytes, from) => {
      if (!path.includes('linux-image-1-x')) response.end(bytes.subarray(from));
      else response.write(bytes.subarray(from, Math.max(from, 200_000)), () => response.destroy());
    };
    await expect(fetchGuest(cache, 'linux-image-x', watch(), { sources })).rejects.toMatchObject({ code: 'E_HOST' });
    expect([cache.list(), existsSync(join(folder, 'cache/guests')), existsSync(join(folder, 'cache/lock'))]).toEqual([[], false, false]);
    answer = (_path, response, bytes, from) => void response.end(bytes.subarray(from));
    requests = [];
    expect(readFileSync((await fetchGuest(cache, 'linux-image-x', watch(), { sources })).kernel)).toEqual(KERNEL);
    expect(requests.filter(({ path }) => path.includes('linux-image-1-x')).map(({ range }) => range)).toEqual(['bytes=200000-']);
  });

  itWithOracle(it, 'apt-get', 'asks for nothing when there is no room, and leaves no guest behind', async () => {
    const cache = new GuestCache(join(folder, 'cache'));
    disk.free = 100;
    await expect(fetchGuest(cache, 'linux-image-x', watch(), { sources: makeArchive() })).rejects.toThrow(/^no space for linux-image-x in .*: it takes up to 320 MiB, and 400 KiB are left$/);
    disk.free = null;
    expect([requests, cache.list(), existsSync(join(folder, 'cache/lock'))]).toEqual([[], [], false]);
  });

  itWithOracle(it, 'apt-get', 'takes nothing whose checksum is wrong, and leaves no guest behind', async () => {
    const sources = makeArchive();
    answer = (path, response, bytes, from) => {
      const sent = Buffer.from(bytes.subarray(from));
      if (path.includes('linux-image-1-x')) sent[sent.length - 1000] = 0xff;
      response.end(sent);
    };
    const cache = new GuestCache(join(folder, 'cache'));
    await expect(fetchGuest(cache, 'linux-image-x', watch(), { sources })).rejects.toMatchObject({ code: 'E_HOST' });
    expect(cache.list()).toEqual([]);
    answer = (_path, response, bytes, from) => void response.end(bytes.subarray(from));
    expect(readFileSync((await fetchGuest(cache, 'linux-image-x', watch(), { sources })).kernel)).toEqual(KERNEL);
  });

  itWithOracle(it, 'apt-get', 'says what it cannot find, in one line', async () => {
    const sources = makeArchive();
    await expect(fetchGuest(new GuestCache(join(folder, 'cache')), 'linux-image-y', watch(), { sources })).rejects.toMatchObject({
      code: 'E_HOST', message: "this host's package sources have no package linux-image-y for amd64",
    });
  });
});
