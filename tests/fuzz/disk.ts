// Images that somebody damaged or forged: they open or are refused with a reason, soon, and what is refused is not written to.
import { checkVhd, compactVhd, createChild, createCipherRegistry, createDisk, createVhd, CryptError, keyOf, luks1, memoryFile, type MemoryFile, openDisk, openVhd, repairVhd, resizeVhd, VhdError } from '@vm/vhd-crypt';
import { nodeCiphers, nodeKeyMath } from '@vm/vhd-crypt/node';
import { checksum, putU32 } from '../../packages/vhd-crypt/src/big-endian.ts';
import type { Fuzzer } from './registry.ts';

interface Sample {
  readonly name: string;
  readonly image: Uint8Array;
  readonly format: 'vhd' | 'raw';
  /** Where changes matter most. */
  readonly areas: readonly (readonly [at: number, bytes: number])[];
}

const BLOCK = 8192;
const BYTES = 16 * BLOCK;
const INTERESTING = [0, 1, 2, 3, 4, 511, 512, 1536, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fe00, 0xffff_ffff];
const MOST_SECONDS = 5; // for one case, whatever it says
const MOST_GROWTH = 64 << 20;
const MOST_FOUND = 10;
const ciphers = createCipherRegistry([nodeCiphers()], 'first');
const keys = keyOf(new TextEncoder().encode('geheim'));
const containers = [luks1({ math: nodeKeyMath(), mostIterations: 1000 })];

export const disk: Fuzzer = {
  summary: 'damaged and forged disk images: VHD of every kind, LUKS1, files encrypted whole',
  async run({ minutes, seed, only }) {
    const { base, samples } = await makeSamples();
    const chosen = samples.filter(({ name }) => only.test(name));
    if (chosen.length === 0) {
      console.error(`no image is named so; there are ${samples.map(({ name }) => name).join(', ')}`);
      return false;
    }
    console.log(`seed ${seed}, ${minutes} minutes, ${chosen.map(({ name }) => name).join(', ')}`);
    const end = performance.now() + minutes * 60_000;
    const counts = { opened: 0, refused: 0 };
    let found = 0;
    for (let i = 0; performance.now() < end && found < MOST_FOUND; i++) {
      const sample = chosen[i % chosen.length]!;
      const begin = performance.now();
      try {
        counts[(await tryCase(sample, base, randomNumbers(seed + i))) ? 'opened' : 'refused']++;
        const seconds = (performance.now() - begin) / 1000;
        if (seconds > MOST_SECONDS) throw new Error(`it took ${seconds.toFixed(1)} s`);
      } catch (error) {
        found++;
        console.log(`${sample.name}, --seed ${seed + i} --only '^${sample.name}$': ${(error as Error).stack}`);
      }
    }
    console.log(`${counts.opened + counts.refused} images: ${counts.opened} opened, ${counts.refused} refused, ${found} found`);
    return found === 0;
  },
};

async function makeSamples(): Promise<{ readonly base: MemoryFile; readonly samples: readonly Sample[] }> {
  const base = memoryFile('base.vhd');
  await createVhd(base, { bytes: BYTES, type: 'dynamic', blockBytes: BLOCK });
  const below = await openVhd(base);
  await below.write(BLOCK * 2 + 100, new Uint8Array(2 * BLOCK).fill(2));
  const fixed = memoryFile();
  await createVhd(fixed, { bytes: BYTES, type: 'fixed' });
  const child = memoryFile();
  await createChild(child, { parent: below, path: 'base.vhd' });
  await (await openVhd(child, { parents: () => Promise.resolve({ file: base }) })).write(5000, new Uint8Array(5000).fill(9));
  const luks = { math: nodeKeyMath(), ciphers, keys, iterations: 1000, keyBits: 256 } as const;
  const make = async (format: 'vhd' | 'raw', crypt: 'payload' | 'file'): Promise<Uint8Array> => {
    const file = memoryFile();
    await createDisk(file, { format, bytes: BYTES, blockBytes: BLOCK, crypt, luks });
    return file.contents();
  };
  const vhd = (bytes: number): (readonly [number, number])[] => [[0, 90], [bytes - 512, 90], [512, 64], [512 + 576, 48], [1536, 64], [0, bytes]];
  const header: (readonly [number, number])[] = [[100, 92], [208, 384], [0, 592]];
  const [payload, whole, raw] = [await make('vhd', 'payload'), await make('vhd', 'file'), await make('raw', 'payload')];
  return {
    base,
    samples: [
      ...Object.entries({ fixed, dynamic: base, differencing: child }).map(([name, file]): Sample => ({ name, image: file.contents(), format: 'vhd', areas: vhd(file.contents().length) })),
      { name: 'payload', image: payload, format: 'vhd', areas: vhd(payload.length) },
      { name: 'file', image: whole, format: 'vhd', areas: header },
      { name: 'luks1', image: raw, format: 'raw', areas: header },
    ],
  };
}

/** True when it opened. */
async function tryCase({ image, format, areas }: Sample, base: MemoryFile, random: (below: number) => number): Promise<boolean> {
  const changed = image.slice();
  for (let changes = 1 + random(3); changes > 0; changes--) {
    const [begin, bytes] = areas[random(areas.length)]!;
    const at = begin + random(bytes);
    if (random(2) === 0) changed[at] = random(256);
    else if (at + 4 <= changed.length) putU32(changed, at, INTERESTING[random(INTERESTING.length)]!);
  }
  if (format === 'vhd' && random(8) > 0) seal(changed);
  const file = memoryFile('forged', random(10) === 0 ? changed.subarray(0, random(changed.length)) : changed);
  const before = file.contents();
  const parent = random(4) === 0 ? file : base;
  const options = { format, containers, ciphers, fallbackKeys: keys, parents: () => Promise.resolve({ file: parent }) };
  const opened = await attempt(async () => {
    const target = await openDisk(file, { ...options, writable: false });
    for (const at of [0, 4999, BLOCK * 2, target.bytes - 512]) if (at >= 0 && at < target.bytes) await target.read(at, new Uint8Array(Math.min(512, target.bytes - at)));
    await target.extents(0, Math.min(target.bytes, 1 << 20));
    await target.close();
  });
  if (!Buffer.from(file.contents()).equals(before)) throw new Error('what is opened for reading was written to');
  const writing = await attempt(async () => {
    const target = await openDisk(file, options);
    await target.write(Math.min(BLOCK * 3, target.bytes - 512), new Uint8Array(512).fill(1));
    await target.close();
  });
  if (!opened && writing) throw new Error('it opens for writing and not for reading');
  if (format === 'vhd') {
    const report = await checkVhd(file);
    if (JSON.stringify(report) === undefined) throw new Error('no report');
    for (const work of [() => repairVhd(file, { dropBlocks: true }), () => resizeVhd(file, BYTES * 2), () => compactVhd(file)]) await attempt(work);
  }
  if ((await file.bytes()) > before.length + MOST_GROWTH && (await file.bytes()) > 2 ** 41) throw new Error(`the file has grown to ${await file.bytes()} bytes`);
  return opened;
}

async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (error instanceof VhdError || error instanceof CryptError) return false;
    throw error;
  }
}

/** Makes the checksums right again, as a forger would. */
function seal(image: Uint8Array): void {
  for (const [at, bytes, field] of [[0, 512, 64], [512, 1024, 36], [image.length - 512, 512, 64]] as const) {
    if (at < 0 || at + bytes > image.length) continue;
    const part = image.subarray(at, at + bytes);
    putU32(part, field, checksum(part, field));
  }
}

function randomNumbers(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
