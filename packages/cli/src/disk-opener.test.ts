import { EventEmitter } from 'node:events';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDisk, type CreateDiskOptions, keyOf, type OpenedDisk } from '@vm/vhd-crypt';
import { nodeKeyMath, openImageFile, standardCiphers } from '@vm/vhd-crypt/node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseDiskDescriptor } from './disk-descriptor.ts';
import { openDescribedDisk } from './disk-opener.ts';
import { promptSecret, type PromptTerminal } from './passphrase-prompt.ts';

let folder = '';
const at = (name: string): string => join(folder, name);
const secret = new TextEncoder().encode('geheim');
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-disk-'));
  writeFileSync(at('key'), secret);
});
afterEach(() => rmSync(folder, { recursive: true }));

async function make(name: string, options: Partial<CreateDiskOptions> = {}): Promise<void> {
  const file = await openImageFile(at(name), { create: true });
  const luks = { math: nodeKeyMath(), ciphers: standardCiphers(), keys: keyOf(secret), iterations: 1000 };
  await createDisk(file, { format: name.endsWith('.vhd') ? 'vhd' : 'raw', bytes: 1 << 20, luks, ...options });
  await file.close();
}
const open = (text: string): Promise<OpenedDisk> => openDescribedDisk(parseDiskDescriptor(text.replaceAll('@', `${folder}/`)), { ask: () => Promise.resolve(null) });
async function firstBytes(disk: OpenedDisk): Promise<string> {
  const bytes = new Uint8Array(8);
  await disk.read(0, bytes);
  return new TextDecoder().decode(bytes);
}
const store = (disk: OpenedDisk, text: string): Promise<void> => disk.write(0, new TextEncoder().encode(text));

describe('disks by their descriptors', () => {
  it('of sealed sectors are refused as older images, with their root in a file (VHD-29)', async () => {
    const luks = { version: 2, math: nodeKeyMath(), ciphers: standardCiphers(), keys: keyOf(secret), cipher: 'aes-ocb-random', cost: { kdf: 'pbkdf2', iterations: 1000 } } as const;
    await make('sealed.vhd', { crypt: 'payload', luks });
    const use = async (text: string): Promise<void> => {
      const disk = await open('@sealed.vhd,key=file:@key,root=@root');
      await store(disk, text);
      await disk.close();
    };
    await use('one     ');
    const [old, first] = [readFileSync(at('sealed.vhd')), readFileSync(at('root'), 'utf8')];
    await use('two     ');
    expect(readFileSync(at('root'), 'utf8')).not.toBe(first);
    const newest = readFileSync(at('sealed.vhd'));
    writeFileSync(at('sealed.vhd'), old);
    await expect(use('three')).rejects.toMatchObject({ rule: 'integrity' });
    const unknowing = await open('@sealed.vhd,key=file:@key,readonly');
    expect(await firstBytes(unknowing)).toBe('one     ');
    await unknowing.close();
    writeFileSync(at('sealed.vhd'), newest);
    const disk = await open('@sealed.vhd,key=file:@key,root=@root,readonly');
    expect(await firstBytes(disk)).toBe('two     ');
    await disk.close();
    writeFileSync(at('root'), 'no root');
    await expect(use('three')).rejects.toThrow('64 hexadecimal digits');
    await make('plain.vhd', { crypt: 'payload' });
    await expect(open('@plain.vhd,key=file:@key,root=@other')).rejects.toThrow('not sealed');
  });

  it('are opened with a key from a file or a descriptor, and refused without', async () => {
    await make('a.vhd', { crypt: 'payload' });
    const disk = await open('@a.vhd,key=file:@key');
    await store(disk, 'contents');
    await disk.close();
    const descriptor = openSync(at('key'), 'r');
    const again = await open(`@a.vhd,key=fd:${descriptor},readonly`);
    expect([await firstBytes(again), again.writable, again.encryption?.container]).toEqual(['contents', false, 'luks1']);
    await expect(store(again, 'x')).rejects.toThrow('opened for reading');
    await again.close();
    closeSync(descriptor);
    await expect(open('@a.vhd')).rejects.toMatchObject({ rule: 'keyUnavailable' });
    await expect(open('@a.vhd,key=file:@none')).rejects.toThrow('there is no such file');
    writeFileSync(at('wrong'), 'falsch');
    await expect(open('@a.vhd,key=file:@wrong')).rejects.toMatchObject({ rule: 'key' });
    expect(readdirSync(folder).filter((name) => name.endsWith('.lock'))).toEqual([]);
  });

  it('keep their stores in an overlay, which is made when there is none, and is encrypted as what is below', async () => {
    await make('base.vhd', { crypt: 'payload' });
    const base = await open('@base.vhd,key=file:@key');
    await store(base, 'original');
    await base.close();
    const before = readFileSync(at('base.vhd'));
    for (const text of ['original', 'changed!']) {
      const disk = await open('@base.vhd,overlay=@top.vhd,key=file:@key');
      expect(await firstBytes(disk)).toBe(text);
      await store(disk, 'changed!');
      await disk.close();
    }
    expect(readFileSync(at('base.vhd')).equals(before)).toBe(true);
    expect(readFileSync(at('top.vhd')).includes('changed!')).toBe(false);
    const alone = await open('@top.vhd,key=file:@key');
    expect(await firstBytes(alone)).toBe('changed!');
    await alone.close();
  });

  it('keep them in memory as a snapshot', async () => {
    await make('raw.img');
    const disk = await open('@raw.img,snapshot');
    await store(disk, 'changed!');
    expect(await firstBytes(disk)).toBe('changed!');
    await disk.close();
    expect(readFileSync(at('raw.img')).every((byte) => byte === 0)).toBe(true);
    await expect(open('@raw.img,overlay=@top.vhd')).rejects.toThrow('an overlay file needs a VHD below it');
  });

  it('are not opened for writing twice', async () => {
    await make('a.vhd');
    const first = await open('@a.vhd');
    await expect(open('@a.vhd')).rejects.toThrow('has it open for writing');
    const reader = await open('@a.vhd,readonly');
    await reader.close();
    await first.close();
    await (await open('@a.vhd')).close();
  });
});

describe('the question for a passphrase', () => {
  class Keys extends EventEmitter implements PromptTerminal {
    readonly modes: boolean[] = [];
    setRawMode(raw: boolean): void {
      this.modes.push(raw);
    }
    resume(): void {}
    pause(): void {}
  }
  const request = { purpose: 'open', disk: 'a\x1b[31m.vhd', uuid: null, attempt: 0 } as const;

  it('shows nothing of what is typed, knows backspace, and gives the terminal back', async () => {
    const keys = new Keys();
    let told = '';
    const answer = promptSecret(keys, (text) => (told += text), request);
    const typed = Buffer.from('abcé\x7f\x7fd\r');
    keys.emit('data', typed);
    expect(new TextDecoder().decode((await answer)!)).toBe('abd');
    expect([told, keys.modes]).toEqual(['Passphrase for a?[31m.vhd: \n', [true, false]]);
    // Raw before the question, or a quick answer is echoed.
    const order: string[] = [];
    const watched = new Keys();
    watched.setRawMode = (raw) => void order.push(raw ? 'raw' : 'cooked');
    const second = promptSecret(watched, (said) => void order.push(said), request);
    watched.emit('data', Buffer.from('\r'));
    await second;
    expect(order).toEqual(['raw', 'Passphrase for a?[31m.vhd: ', 'cooked', '\n']);
    expect(typed.every((byte) => byte === 0)).toBe(true);
  });

  it('wants a new one twice, and ends at Ctrl-C and Ctrl-D', async () => {
    const keys = new Keys();
    let told = '';
    const answer = promptSecret(keys, (text) => (told += text), { ...request, purpose: 'create' });
    for (const line of ['one\r', 'two\r', '\r', '\r', 'three\r', 'three\r']) {
      keys.emit('data', Buffer.from(line));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(new TextDecoder().decode((await answer)!)).toBe('three');
    expect(told).toContain('The two differ.');
    expect(told).toContain('An empty passphrase protects nothing.');
    const stopped = promptSecret(keys, () => {}, request);
    keys.emit('data', Buffer.from('ab\x03'));
    await expect(stopped).rejects.toThrow('stopped at the passphrase');
    const none = promptSecret(keys, () => {}, request);
    keys.emit('data', Buffer.from('\x04'));
    expect(await none).toBeNull();
    expect(keys.modes.at(-1)).toBe(false);
  });
});
