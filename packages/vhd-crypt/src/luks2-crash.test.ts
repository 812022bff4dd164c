import { crashCuts, recordSteps, replayCut } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { createCipherRegistry } from './cipher-registry.ts';
import type { ContainerBytes } from './container.ts';
import { luks2 } from './luks2.ts';
import { formatLuks2 } from './luks2-format.ts';
import { addLuks2Key, changeLuks2Key, removeLuks2Key } from './luks2-keys.ts';
import type { Luks2Keyslot } from './luks2-metadata.ts';
import { readLuks2, repairLuks2 } from './luks2-store.ts';
import { memoryFile, type MemoryFile } from './memory-file.ts';
import { nodeCiphers } from './node.ts';
import { containerBytes } from './open-disk.ts';
import { quickMath } from './quick-math.ts';
import { keyOf } from './sector-cipher.ts';

const BYTES = 1 << 20;
const CHANGES = process.env['VM_LONG'] === '1' ? 1400 : 90;
const ciphers = createCipherRegistry([nodeCiphers()]);
const settings = { math: quickMath() };
const cost = { kdf: 'pbkdf2', iterations: 1000 } as const;
const secretOf = (number: number): Uint8Array => new TextEncoder().encode(`secret ${number}`);

/** The secrets in use, and what lies in the area of the slot of each. */
type Slots = ReadonlyMap<number, { readonly salt: string; readonly material: Buffer }>;

async function materialOf(file: MemoryFile, { area }: Luks2Keyslot): Promise<Buffer> {
  const material = Buffer.alloc(Number(area.size));
  await file.read(Number(area.offset), material);
  return material;
}

async function slotsOf(file: MemoryFile, secrets: ReadonlyMap<string, number>): Promise<Slots> {
  const { metadata } = await readLuks2(await containerBytes(file), settings);
  const slots = new Map<number, { readonly salt: string; readonly material: Buffer }>();
  for (const slot of Object.values(metadata.keyslots)) slots.set(secrets.get(slot.kdf!.salt)!, { salt: slot.kdf!.salt, material: await materialOf(file, slot) });
  return slots;
}

describe('a crash at any write of a change of secrets (VHD-19)', () => {
  it('leaves every secret that was there before and after the change, whole, and one of the two copies of the header', async () => {
    const file = memoryFile('slots.raw');
    await file.resize(BYTES + 4096);
    await formatLuks2(await containerBytes(file), settings, { ciphers, keys: keyOf(secretOf(0)), keyBits: 256, cost, dataAt: BYTES });
    const secrets = new Map<string, number>([[(await readLuks2(await containerBytes(file), settings)).metadata.keyslots[0]!.kdf!.salt, 0]]);
    let [next, cuts, opened, state] = [1, 0, 0, 12];
    const random = (most: number): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) % most;
    for (let change = 0; change < CHANGES; change++) {
      const initial = file.contents();
      const before = await slotsOf(file, secrets);
      const { file: watched, steps } = recordSteps(file);
      const bytes: ContainerBytes = await containerBytes(watched);
      const present = Array.from(before.keys());
      const chosen = present[random(present.length)]!;
      const options = { ciphers, keys: keyOf(secretOf(chosen)), cost };
      const kind = present.length === 1 ? ['add', 'change'][random(2)] : present.length > 4 ? 'remove' : ['add', 'change', 'remove'][random(3)];
      if (kind === 'remove') await removeLuks2Key(bytes, settings, options);
      else await (kind === 'add' ? addLuks2Key : changeLuks2Key)(bytes, settings, options, keyOf(secretOf(next)));
      for (const { kdf } of Object.values((await readLuks2(await containerBytes(file), settings)).metadata.keyslots)) if (!secrets.has(kdf!.salt)) secrets.set(kdf!.salt, next);
      if (kind !== 'remove') next++;
      const after = await slotsOf(file, secrets);
      for (const { kept } of crashCuts(steps, { seed: change + 1 })) {
        const cut = memoryFile('cut.raw', initial);
        await replayCut(cut, kept);
        const { metadata } = await readLuks2(await containerBytes(cut), settings);
        const salts = Object.values(metadata.keyslots).map(({ kdf }) => kdf!.salt);
        const isWhole = async ({ salt, material }: { readonly salt: string; readonly material: Buffer }): Promise<boolean> => {
          const slot = Object.values(metadata.keyslots).find(({ kdf }) => kdf!.salt === salt);
          return slot !== undefined && material.equals(await materialOf(cut, slot));
        };
        for (const [secret, slot] of before) if (after.has(secret) && !(await isWhole(slot))) throw new Error(`cut ${cuts}, ${kind}: secret ${secret} is lost`);
        // Of two secrets, one in place of the other, at least one opens.
        const whole: [number, unknown][] = [];
        for (const one of [...before, ...after]) if (await isWhole(one[1])) whole.push(one);
        expect(whole.length).toBeGreaterThan(0);
        expect(salts.every((salt) => secrets.has(salt))).toBe(true);
        if (cuts++ % 40 !== 0) continue;
        const keys = keyOf(secretOf(whole[random(whole.length)]![0]));
        await (await luks2(settings).open(await containerBytes(cut), { ciphers, keys })).cipher.close();
        expect(await repairLuks2(await containerBytes(cut), settings)).toEqual([null, null]); // opening mended it
        await (await luks2(settings).open(await containerBytes(cut), { ciphers, keys })).cipher.close();
        opened++;
      }
    }
    console.log(`${cuts} cuts of ${CHANGES} changes of secrets, ${opened} of them opened with a passphrase`);
    expect(cuts).toBeGreaterThan(CHANGES * 15);
  }, 600_000);
});
