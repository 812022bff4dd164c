import { statSync } from 'node:fs';
import { containerBytes, type EngineSpeed, type Extent, formatOfName, type ImageFile, openDisk, openRaw, openVhd, readHeaderFacts, type KeySlotFacts, type VhdDisk } from '@vm/vhd-crypt';
import { nodeKeyMath, parentsBeside, standardCiphers } from '@vm/vhd-crypt/node';
import { formatByteSize } from './byte-size.ts';
import type { DiskDescriptor } from './disk-descriptor.ts';
import { diskOptions, openNamedFile } from './disk-opener.ts';

/** What is known of a disk, some of it without any key. Plain data, for JSON. */
export interface DiskFacts {
  readonly file: string;
  readonly format: 'raw' | 'vhd';
  /** What the guest sees; null when only the key tells. */
  readonly bytes: number | null;
  readonly fileBytes: number;
  /** On the host, holes not counted. */
  readonly hostBytes: number;
  readonly vhd: { readonly type: string; readonly creator: string; readonly uniqueId: string; readonly blockBytes: number | null; readonly allocatedBlocks: number | null; readonly parents: readonly string[] } | null;
  readonly encryption: { readonly mode: 'payload' | 'file'; readonly container: string; readonly cipher: string; readonly keyBits: number; readonly hash: string; readonly uuid: string; readonly sectorBytes: number; readonly keySlots: readonly number[]; readonly slots: readonly KeySlotFacts[]; readonly engine: string; readonly engines: readonly EngineSpeed[] } | null;
  readonly warnings: readonly string[];
}

/** Opens nothing that needs a key; with one in the descriptor, a whole encrypted file is looked into. */
export async function describeImage(descriptor: DiskDescriptor): Promise<DiskFacts> {
  const { file: path } = descriptor;
  const format = descriptor.format ?? formatOfName(path);
  const host = statSync(path, { throwIfNoEntry: false });
  const file = await openNamedFile(path, {});
  try {
    const facts = { file: path, format, fileBytes: await file.bytes(), hostBytes: (host?.blocks ?? 0) * 512 };
    const whole = format === 'vhd' && (await beginsWithLuks(file)) && !(await isVhd(file));
    if (whole && descriptor.key === undefined) return { ...facts, bytes: null, vhd: null, encryption: await encryptionOf(await containerBytes(file), 'file'), warnings: [] };
    if (whole) {
      const disk = await openDisk(file, { ...diskOptions(descriptor), writable: false });
      try {
        return { ...facts, bytes: disk.bytes, vhd: vhdFacts(disk.vhd), encryption: await encryptionOf(await containerBytes(file), 'file'), warnings: disk.warnings };
      } finally {
        await disk.close();
      }
    }
    const vhd = format === 'vhd' ? await openVhd(file, { writable: false, parents: parentsBeside(path) }) : null;
    const disk = vhd ?? (await openRaw(file, false));
    const bytes = { name: path, bytes: disk.bytes, read: disk.read, write: disk.write, flush: disk.flush };
    const isEncrypted = descriptor.crypt !== 'none' && (await beginsWithLuks(bytes));
    const encryption = isEncrypted ? await encryptionOf(bytes, 'payload') : null;
    const header = isEncrypted ? await readHeaderFacts(bytes, { math: nodeKeyMath() }) : null;
    const told = { ...facts, bytes: header?.dataBytes ?? disk.bytes - (header?.dataAt ?? 0), vhd: vhdFacts(vhd), encryption, warnings: [...(vhd?.warnings ?? []), ...(header?.warnings ?? [])] };
    await vhd?.close();
    return told;
  } finally {
    await file.close();
  }
}

async function beginsWithLuks(from: { read(at: number, into: Uint8Array): Promise<void> }): Promise<boolean> {
  const first = new Uint8Array(6);
  await from.read(0, first).catch(() => undefined);
  return String.fromCharCode(...first) === 'LUKS\xba\xbe';
}

/** With its footer at the end, as a fixed one has it; what begins with LUKS is no other VHD. */
async function isVhd(file: ImageFile): Promise<boolean> {
  return openVhd({ ...file, close: () => Promise.resolve() }, { writable: false }).then(() => true, () => false);
}

function vhdFacts(vhd: VhdDisk | null): DiskFacts['vhd'] {
  if (vhd === null) return null;
  const { footer, table } = vhd;
  const parents: string[] = [];
  for (let parent = vhd.parent; parent !== null; parent = parent.parent) parents.push(Buffer.from(parent.footer.uniqueId).toString('hex'));
  return {
    type: footer.type,
    creator: footer.creator,
    uniqueId: Buffer.from(footer.uniqueId).toString('hex'),
    blockBytes: table?.header.blockBytes ?? null,
    allocatedBlocks: table === null ? null : table.entries.reduce((sum, entry) => sum + (entry === 0xffff_ffff ? 0 : 1), 0),
    parents,
  };
}

async function encryptionOf(bytes: Parameters<typeof readHeaderFacts>[0], mode: 'payload' | 'file'): Promise<NonNullable<DiskFacts['encryption']>> {
  const { container, cipher, keyBits, hash, uuid, sectorBytes, keySlots } = await readHeaderFacts(bytes, { math: nodeKeyMath() });
  // Which engine would be taken here, measured with a key that is none.
  const made = await standardCiphers().create(bytes.name, cipher, Uint8Array.from({ length: keyBits / 8 }, (_, i) => i), sectorBytes).catch(() => null);
  await made?.cipher.close();
  const sealed = made === null ? await standardCiphers().createSealed(bytes.name, cipher, new Uint8Array(keyBits / 8), sectorBytes).catch(() => null) : null;
  await sealed?.sectors.close();
  return { mode, container, cipher, keyBits, hash, uuid, sectorBytes, keySlots: keySlots.map(({ slot }) => slot), slots: keySlots, engine: made?.engine ?? sealed?.engine ?? 'none', engines: made?.speeds ?? [] };
}

/** `0  argon2id, 4 passes, 128 MiB` */
export function formatSlots(slots: readonly KeySlotFacts[]): string {
  return slots.map(({ slot, kdf = 'pbkdf2', iterations, memoryKib, token }) => `${String(slot).padStart(2)}  ${kdf}, ${iterations} ${memoryKib === undefined ? 'rounds' : `passes over ${formatByteSize(memoryKib * 1024)}`}${token === undefined ? '' : `, by ${JSON.stringify(token)}`}`).join('\n') || 'no key slot is in use: the key was destroyed';
}

export function formatFacts({ file, format, bytes, fileBytes, hostBytes, vhd, encryption, warnings }: DiskFacts): string {
  const lines = [
    ['file', file],
    ['format', vhd === null ? format : `${format}, ${vhd.type}, by ${JSON.stringify(vhd.creator)}`],
    ['size', bytes === null ? 'only the key tells' : `${formatByteSize(bytes)} (${bytes} bytes)`],
    ['on disk', `${formatByteSize(hostBytes)} of a file of ${formatByteSize(fileBytes)}`],
    ...(vhd === null || vhd.allocatedBlocks === null ? [] : [['blocks', `${vhd.allocatedBlocks} of ${formatByteSize(vhd.blockBytes ?? 0)} in use`]]),
    ...(vhd === null ? [] : [['identity', vhd.uniqueId], ...vhd.parents.map((parent) => ['parent', parent])]),
    ...(encryption === null
      ? [['encryption', 'none']]
      : [
          ['encryption', `${encryption.container} around the ${encryption.mode}: ${encryption.cipher}, ${encryption.keyBits} bits, ${encryption.hash}`],
          ['key slots', encryption.keySlots.length === 0 ? 'none in use: the key was destroyed' : `in use of 0 to ${encryption.container === 'luks1' ? 7 : 31}: ${encryption.keySlots.join(', ')}`],
          ['uuid', encryption.uuid],
          ['engine', `${encryption.engine}${encryption.engines.map((one, i) => `${i === 0 ? ' (' : ', '}${one.engine} ${formatByteSize(one.bytesPerSecond)}/s`).join('')}${encryption.engines.length > 0 ? ')' : ''}`],
        ]),
    ...warnings.map((warning) => ['warning', warning]),
  ];
  return lines.map(([name, text]) => `${name!.padEnd(11)} ${text}`).join('\n');
}

export function formatMap(extents: readonly Extent[]): string {
  return [`${'offset'.padEnd(16)} ${'length'.padEnd(16)} where`, ...extents.map(({ at, bytes, depth }) => `0x${at.toString(16).padEnd(14)} 0x${bytes.toString(16).padEnd(14)} ${depth === null ? 'nowhere: zeros' : depth === 0 ? 'here' : `parent ${depth}`}`)].join('\n');
}
