/** What a plug-in for disk encryption has to be, as `CipherModule` of @vm/vhd-crypt describes it. */
export interface CipherUnderTest {
  readonly engine: string;
  readonly ciphers: readonly string[];
  readonly keyBytes: readonly number[];
  readonly sectorBytes: readonly number[];
  isAvailable(): Promise<boolean>;
  create(cipher: string, key: Uint8Array, sectorBytes: number): Promise<SectorCipherUnderTest>;
}
export interface SectorCipherUnderTest {
  encrypt(from: Uint8Array, into: Uint8Array, firstSector: number): Promise<void>;
  decrypt(from: Uint8Array, into: Uint8Array, firstSector: number): Promise<void>;
  close(): Promise<void>;
}

/** One test, which rejects when the plug-in does not conform. */
export interface ConformanceCase {
  readonly name: string;
  run(): Promise<void>;
}
export interface CipherConformanceOptions {
  /** Another module that does the same ciphers and has to give the same bytes. */
  readonly reference?: CipherUnderTest;
  /** Where the random data begins. */
  readonly seed?: number;
}

/** Tests of a cipher plug-in for any test runner: `for (const { name, run } of cipherConformance(module)) it(name, run);` */
export function cipherConformance(module: CipherUnderTest, options: CipherConformanceOptions = {}): readonly ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  for (const cipher of module.ciphers) {
    for (const keyBytes of module.keyBytes) {
      for (const sectorBytes of module.sectorBytes) {
        const bench: Bench = { module, cipher, keyBytes, sectorBytes, random: randomOf(options.seed ?? 1) };
        for (const [what, test] of Object.entries(CASES)) cases.push({ name: `${module.engine} ${cipher}, ${keyBytes * 8}-bit key, ${sectorBytes}-byte sectors: ${what}`, run: () => test(bench) });
        const { reference } = options;
        if (reference !== undefined) cases.push({ name: `${module.engine} ${cipher}, ${keyBytes * 8}-bit key, ${sectorBytes}-byte sectors: gives the bytes of ${reference.engine}`, run: () => compare(bench, reference) });
      }
    }
  }
  return cases;
}

interface Bench {
  readonly module: CipherUnderTest;
  readonly cipher: string;
  readonly keyBytes: number;
  readonly sectorBytes: number;
  readonly random: (bytes: number) => Uint8Array;
}

const CASES: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  'decrypts what it encrypted, in place and elsewhere, in ranges of any length': (bench) => withCipher(bench, async (cipher) => {
    for (const sectors of [1, 2, 7, 33, Math.floor(300_000 / bench.sectorBytes)]) {
      const data = bench.random(sectors * bench.sectorBytes);
      const [elsewhere, inPlace] = [new Uint8Array(data.length), data.slice()];
      const before = data.slice();
      await cipher.encrypt(data, elsewhere, 8 * sectors);
      expectSame(data, before, 'the data that is encrypted elsewhere stays');
      await cipher.encrypt(inPlace, inPlace, 8 * sectors);
      expectSame(inPlace, elsewhere, 'in place and elsewhere');
      await cipher.decrypt(inPlace, inPlace, 8 * sectors);
      expectSame(inPlace, data, 'decrypted in place');
      const back = new Uint8Array(data.length);
      await cipher.decrypt(elsewhere, back, 8 * sectors);
      expectSame(back, data, 'decrypted elsewhere');
    }
  }),
  'decrypts each sector of a range by itself, by its number': (bench) => withCipher(bench, async (cipher) => {
    const step = bench.sectorBytes / 512;
    const sectors = 11; // over the 32-bit border with any size
    for (const first of [0, 8, 0xffff_fff8, 0x1_0000_0000, 2 ** 40]) {
      const data = bench.random(sectors * bench.sectorBytes);
      const encrypted = new Uint8Array(data.length);
      await cipher.encrypt(data, encrypted, first);
      for (let i = sectors - 1; i >= 0; i--) {
        const sector = encrypted.slice(i * bench.sectorBytes, (i + 1) * bench.sectorBytes);
        await cipher.decrypt(sector, sector, first + i * step);
        expectSame(sector, data.subarray(i * bench.sectorBytes, (i + 1) * bench.sectorBytes), `sector ${first + i * step}`);
      }
    }
  }),
  'encrypts the same data differently in every sector, and leaves nothing of it': (bench) => withCipher(bench, async (cipher) => {
    const data = new Uint8Array(16 * bench.sectorBytes);
    const encrypted = new Uint8Array(data.length);
    for (const fill of [0, 0xa5]) {
      data.fill(fill);
      await cipher.encrypt(data, encrypted, 16);
      const seen = new Set<string>();
      for (let at = 0; at < encrypted.length; at += 16) seen.add(encrypted.subarray(at, at + 16).join());
      if (seen.has(data.subarray(0, 16).join())) throw new Error('16 bytes are as they were');
      if (seen.size !== encrypted.length / 16) throw new Error('the same 16 bytes come twice');
    }
  }),
  'spoils no other sector when one is damaged or changes places': (bench) => withCipher(bench, async (cipher) => {
    const { sectorBytes } = bench;
    const data = bench.random(3 * sectorBytes);
    const encrypted = new Uint8Array(data.length);
    await cipher.encrypt(data, encrypted, 0);
    const damaged = encrypted.slice();
    damaged[sectorBytes + 5]! ^= 1;
    await cipher.decrypt(damaged, damaged, 0).catch(() => undefined); // who checks integrity may refuse
    if (damaged.subarray(sectorBytes, 2 * sectorBytes).every((byte, i) => byte === data[sectorBytes + i])) throw new Error('a changed bit had no effect');
    const third = encrypted.slice(2 * sectorBytes);
    await cipher.decrypt(third, third, 2 * (sectorBytes / 512));
    expectSame(third, data.subarray(2 * sectorBytes), 'the sector after it');
    const moved = encrypted.slice(0, sectorBytes);
    await cipher.decrypt(moved, moved, sectorBytes / 512).catch(() => undefined);
    if (moved.every((byte, i) => byte === data[i])) throw new Error('a sector reads the same in another place');
  }),
  'keeps its own copy of the key, and another key gives other bytes': async (bench) => {
    const key = bench.random(bench.keyBytes);
    const cipher = await bench.module.create(bench.cipher, key, bench.sectorBytes);
    const data = bench.random(bench.sectorBytes);
    const [first, second, other] = [new Uint8Array(data.length), new Uint8Array(data.length), new Uint8Array(data.length)];
    await cipher.encrypt(data, first, 8);
    key.fill(0);
    await cipher.encrypt(data, second, 8);
    expectSame(second, first, 'after the caller wiped the key');
    await cipher.close();
    await withCipher(bench, (another) => another.encrypt(data, other, 8));
    if (other.every((byte, i) => byte === first[i])) throw new Error('two keys give the same');
  },
  'serves several requests at once': (bench) => withCipher(bench, async (cipher) => {
    const data = Array.from({ length: 8 }, (_, i) => bench.random((1 + i) * bench.sectorBytes));
    const encrypted = data.map((one) => new Uint8Array(one.length));
    await Promise.all(data.map((one, i) => cipher.encrypt(one, encrypted[i]!, 8 * i)));
    await Promise.all(encrypted.map((one, i) => cipher.decrypt(one, one, 8 * i)));
    encrypted.forEach((one, i) => expectSame(one, data[i]!, `request ${i}`));
  }),
  'refuses parts of sectors, keys of another length, and work after it was closed': async (bench) => {
    const { module, sectorBytes } = bench;
    const cipher = await module.create(bench.cipher, bench.random(bench.keyBytes), sectorBytes);
    const part = new Uint8Array(sectorBytes + 16);
    await expectRefusal(() => cipher.encrypt(part, part, 0), 'a part of a sector');
    await expectRefusal(() => module.create(bench.cipher, bench.random(bench.keyBytes - 1), sectorBytes), 'a short key');
    await expectRefusal(() => module.create('no-such-cipher', bench.random(bench.keyBytes), sectorBytes), 'another cipher');
    await cipher.close();
    await cipher.close();
    const sector = new Uint8Array(sectorBytes);
    await expectRefusal(() => cipher.encrypt(sector, sector, 0), 'work after it was closed');
    await expectRefusal(() => cipher.decrypt(sector, sector, 0), 'work after it was closed');
  },
  'shows its key to nobody who looks at it or at its errors': async (bench) => {
    const key = bench.random(bench.keyBytes);
    const cipher = await bench.module.create(bench.cipher, key, bench.sectorBytes);
    expectNoKey(JSON.stringify(cipher) ?? '', key);
    for (const value of Object.values(cipher)) if (typeof value !== 'function') throw new Error('a member that is not a function');
    await cipher.encrypt(new Uint8Array(1), new Uint8Array(1), -1).catch((error: unknown) => expectNoKey(`${String(error)} ${JSON.stringify(error)} ${(error as Error).stack ?? ''}`, key));
    await cipher.close();
  },
};

async function compare(bench: Bench, reference: CipherUnderTest): Promise<void> {
  const key = bench.random(bench.keyBytes);
  const [ours, theirs] = [await bench.module.create(bench.cipher, key, bench.sectorBytes), await reference.create(bench.cipher, key, bench.sectorBytes)];
  for (let round = 0; round < 6; round++) {
    const [a = 0, b = 0] = bench.random(2);
    const data = bench.random((1 + (a % 40)) * bench.sectorBytes);
    const first = b * 8 * 2 ** (round * 7);
    const [one, other] = [new Uint8Array(data.length), new Uint8Array(data.length)];
    await ours.encrypt(data, one, first);
    await theirs.encrypt(data, other, first);
    expectSame(one, other, `${data.length} bytes from sector ${first}`);
    await ours.decrypt(other, other, first);
    expectSame(other, data, 'decrypted what the other encrypted');
  }
  await ours.close();
  await theirs.close();
}

async function withCipher(bench: Bench, work: (cipher: SectorCipherUnderTest) => Promise<void>): Promise<void> {
  const cipher = await bench.module.create(bench.cipher, bench.random(bench.keyBytes), bench.sectorBytes);
  try {
    await work(cipher);
  } finally {
    await cipher.close();
  }
}

function expectSame(got: Uint8Array, wanted: Uint8Array, what: string): void {
  const at = wanted.findIndex((byte, i) => got[i] !== byte);
  if (at >= 0 || got.length !== wanted.length) throw new Error(`${what}: byte ${at} differs`);
}

async function expectRefusal(attempt: () => Promise<unknown>, what: string): Promise<void> {
  const refused = await Promise.resolve().then(attempt).then(() => false, () => true);
  if (!refused) throw new Error(`${what} was not refused`);
}

function expectNoKey(text: string, key: Uint8Array): void {
  const hex = Array.from(key.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('');
  for (const form of [hex, key.subarray(0, 8).join(), key.subarray(0, 8).join(', ')]) if (text.includes(form)) throw new Error('the key shows');
}

/** The same on every run (xorshift32). */
function randomOf(seed: number): (bytes: number) => Uint8Array {
  let state = seed;
  return (bytes) => Uint8Array.from({ length: bytes }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & 0xff;
  });
}
