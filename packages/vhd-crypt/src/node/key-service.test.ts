import { execFileSync } from 'node:child_process';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { itWithOracle } from '@vm/testkit/oracle';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCipherRegistry } from '../cipher-registry.ts';
import { createDisk } from '../create-disk.ts';
import { luks2, readLuks2Facts } from '../luks2.ts';
import { addLuks2Key, removeLuks2Key } from '../luks2-keys.ts';
import { memoryFile, type MemoryFile } from '../memory-file.ts';
import { keyEnvironment, keyService, type KeyServiceOptions, nodeCiphers, nodeKeyMath } from '../node.ts';
import { containerBytes, openDisk } from '../open-disk.ts';
import { keyOf } from '../sector-cipher.ts';

const folder = mkdtempSync(join(tmpdir(), 'key-service-'));
afterAll(() => rmSync(folder, { recursive: true }));
const ciphers = createCipherRegistry([nodeCiphers()]);
const settings = { math: nodeKeyMath() };
const cost = { kdf: 'pbkdf2', iterations: 1000 } as const;

/** A key service: it wraps with AES-GCM, the context authenticated. `trouble` answers in its place, request by request. */
class ServiceDouble {
  readonly #keys = new Map([['disks', randomBytes(32)]]);
  readonly #server: Server;
  readonly trouble: ((response: ServerResponse) => void)[] = [];
  requests = 0;

  constructor() {
    this.#server = createServer((request, response) => {
      this.requests++;
      let body = '';
      request.setEncoding('utf8').on('data', (more: string) => (body += more)).on('end', () => {
        const trouble = this.trouble.shift();
        if (trouble !== undefined) return trouble(response);
        if (request.headers.authorization !== 'Bearer let me in') return void response.writeHead(401).end();
        response.setHeader('content-type', 'application/json');
        try {
          response.end(JSON.stringify(this.#answer(request.url ?? '', JSON.parse(body) as Readonly<Record<string, unknown>>)));
        } catch (error) {
          response.writeHead((error as Error).message === 'no key' ? 404 : 400).end();
        }
      });
    });
  }

  #answer(url: string, { key, plaintext, wrapped, context }: Readonly<Record<string, unknown>>): object {
    const secret = this.#keys.get(String(key));
    if (secret === undefined) throw new Error('no key');
    if (url === '/v1/wrap') {
      const iv = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', secret, iv).setAAD(Buffer.from(JSON.stringify(context)));
      return { wrapped: Buffer.concat([iv, cipher.update(String(plaintext), 'base64'), cipher.final(), cipher.getAuthTag()]).toString('base64') };
    }
    const bytes = Buffer.from(String(wrapped), 'base64');
    const cipher = createDecipheriv('aes-256-gcm', secret, bytes.subarray(0, 12)).setAAD(Buffer.from(JSON.stringify(context))).setAuthTag(bytes.subarray(-16));
    return { plaintext: Buffer.concat([cipher.update(bytes.subarray(12, -16)), cipher.final()]).toString('base64') };
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }
  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

let service: ServiceDouble;
let url = '';
beforeEach(async () => {
  service = new ServiceDouble();
  url = await service.listen();
});
afterEach(() => service.close());
const options = (more: Partial<KeyServiceOptions> = {}): KeyServiceOptions => ({ url, key: 'disks', bearer: () => Promise.resolve('let me in'), waitMs: 1, timeoutMs: 5000, ...more });

async function made(): Promise<MemoryFile> {
  const file = memoryFile('disk.raw');
  await createDisk(file, { format: 'raw', bytes: 1 << 20, crypt: 'payload', luks: { ...settings, version: 2, ciphers, keys: keyService(options()), keyBits: 256 } });
  return file;
}
const open = async (file: MemoryFile, more: Partial<KeyServiceOptions> = {}): Promise<void> => {
  const disk = await openDisk({ ...file, close: () => Promise.resolve() }, { format: 'raw', containers: [luks2(settings)], ciphers, keys: keyService(options(more)) });
  await disk.close();
};

describe('secrets that a key service wraps (VHD-23)', () => {
  it('opens what was made with it, beside passphrases, and no other disk with the same token', async () => {
    const file = await made();
    const bytes = await containerBytes(file);
    expect((await readLuks2Facts(bytes, settings)).keySlots).toEqual([{ slot: 0, iterations: 1000, kdf: 'pbkdf2', token: 'vm-key-service' }]);
    await open(file);
    await addLuks2Key(bytes, settings, { ciphers, keys: keyService(options()), cost }, keyOf(new TextEncoder().encode('by hand')));
    await addLuks2Key(bytes, settings, { ciphers, keys: keyOf(new TextEncoder().encode('by hand')), cost }, keyService(options()));
    await removeLuks2Key(bytes, settings, { ciphers, keys: keyOf(new TextEncoder().encode('by hand')), cost }, { slot: 0 });
    await open(file);
    expect((await readLuks2Facts(bytes, settings)).keySlots.map(({ slot, token }) => [slot, token])).toEqual([[1, undefined], [2, 'vm-key-service']]);
    // A token that was copied from another container is refused by the service: its context is another.
    const text = Buffer.from(file.contents());
    const other = await made();
    const token = /"wrapped":"([^"]+)"/.exec(text.toString('latin1'))![1]!;
    const source = keyService(options());
    const request = { purpose: 'open', disk: 'other', uuid: 'another', attempt: 0, tokens: [{ type: 'vm-key-service', service: `${url}/`, key: 'disks', wrapped: token }] } as const;
    await expect(source.getSecret(request)).rejects.toThrow('another key or another disk (400)');
    await open(other);
  });

  it('waits and asks again while the service has no time, and gives up with a reason', async () => {
    const file = await made();
    const busy = (status: number) => (response: ServerResponse): void => void response.writeHead(status, status === 429 ? { 'retry-after': '0' } : {}).end('later');
    service.trouble.push(busy(503), busy(429), (response) => void response.destroy());
    service.requests = 0;
    await open(file);
    expect(service.requests).toBe(4);
    service.trouble.push(busy(503), busy(503));
    await expect(open(file, { attempts: 2 })).rejects.toMatchObject({ rule: 'keyUnavailable', message: expect.stringMatching(/it answers 503, 2 attempts$/) as string });
    service.trouble.push(() => {});
    await expect(open(file, { attempts: 1, timeoutMs: 50 })).rejects.toThrow('no answer within 50 ms, 1 attempt');
    await expect(open(file, { bearer: () => Promise.resolve('somebody') })).rejects.toThrow('it refuses the token that says who asks (401)');
    service.trouble.push(busy(404));
    await expect(open(file)).rejects.toThrow('it knows no key "disks" (404)');
    for (const answer of ['[]', '{"plaintext":7}', 'x'.repeat(100_000), '{"plaintext":']) {
      service.trouble.push((response) => void response.end(answer));
      await expect(open(file)).rejects.toMatchObject({ rule: 'keyUnavailable', message: expect.stringContaining('an answer') as string });
    }
    service.trouble.push((response) => void response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end());
    await expect(open(file, { attempts: 1 })).rejects.toThrow('cannot be reached');
    await service.close();
    const error: Error = await open(file, { attempts: 2 }).then(() => new Error('it opened'), (reason: Error) => reason);
    expect(error.message).toMatch(/^disk.raw: key service 127\.0\.0\.1:\d+: cannot be reached \(ECONNREFUSED\), 2 attempts$/);
    expect(error.message).not.toContain('let me in');
    service = new ServiceDouble();
    await service.listen();
  });

  it('goes to no service in the clear but those of this host, and asks none for tokens of others', async () => {
    expect(() => keyService(options({ url: 'http://example.org' }))).toThrow('expected https');
    expect(() => keyService(options({ url: 'https://me:secret@example.org' }))).toThrow('no secrets in its URL');
    const source = keyService(options());
    service.requests = 0;
    const tokens = [{ type: 'vm-key-service', service: 'https://example.org/', key: 'disks', wrapped: 'AAAA' }, { type: 'vm-key-service', service: `${url}/`, key: 'other', wrapped: 'AAAA' }, { type: 'clevis' }];
    expect(await source.getSecret({ purpose: 'open', disk: 'x', uuid: null, attempt: 0, tokens })).toBeNull();
    expect(service.requests).toBe(0);
  });

  itWithOracle(it, 'cryptsetup', 'leaves tokens that cryptsetup shows, keeps and takes away', async (cryptsetup) => {
    const path = join(folder, 'disk.raw');
    writeFileSync(path, (await made()).contents());
    const run = (...args: string[]): string => execFileSync(cryptsetup, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    expect(run('luksDump', path)).toMatch(/Tokens:\s+0: vm-key-service\s+Keyslot: +0/);
    const token = JSON.parse(run('token', 'export', '--token-id', '0', path)) as { readonly wrapped: string };
    const secret = await keyService(options()).getSecret({ purpose: 'open', disk: path, uuid: run('luksUUID', path).trim(), attempt: 0, tokens: [{ type: 'vm-key-service', ...token }] });
    writeFileSync(join(folder, 'secret'), secret!);
    run('open', '--test-passphrase', '--key-file', join(folder, 'secret'), path);
    run('config', '--label', 'ours', path);
    expect(run('luksDump', path)).toContain('vm-key-service');
  });
});

describe('secrets from the environment', () => {
  it('are the bytes of a variable, which has to be there', async () => {
    const request = { purpose: 'open', disk: 'x', uuid: null, attempt: 0 } as const;
    expect(await keyEnvironment('SECRET', { SECRET: 'grün' }).getSecret(request)).toEqual(Uint8Array.from(Buffer.from('grün')));
    expect(await keyEnvironment('SECRET', { SECRET: 'x' }).getSecret({ ...request, attempt: 1 })).toBeNull();
    await expect(keyEnvironment('SECRET', {}).getSecret(request)).rejects.toThrow('the environment has no SECRET');
  });
});
