import { describe, expect, it } from 'vitest';
import { formatListing } from '../listing.ts';
import { buildBootDisk, CYLINDER_BYTES } from './boot-disk.ts';
import { DISK_MOST } from './memory-map.ts';
import { buildMonitor } from './monitor-image.ts';

const guest = { kind: 'flat', bytes: Uint8Array.of(0xf4) } as const;

describe('an image of the monitor', () => {
  it('has a multiboot header with its address, and the guest at its end', () => {
    const { bytes, loadAddress } = buildMonitor({ guest });
    const view = new DataView(bytes.buffer);
    const at = Array.from({ length: 64 }, (_, i) => i * 4).find((offset) => view.getUint32(offset, true) === 0x1bad_b002)!;
    const [magic, flags, check, header, load] = Array.from({ length: 5 }, (_, i) => view.getUint32(at + i * 4, true)) as [number, number, number, number, number];
    expect([(magic + flags + check) % 2 ** 32, header - load, load]).toEqual([0, at, loadAddress]);
    expect([bytes.at(-1), loadAddress + bytes.length]).toEqual([0xf4, 0x40_0001]);
  });

  it('is code from its first to its last instruction, in 16, 32 and 64 bits', () => {
    const listing = formatListing(buildMonitor({ guest: { kind: 'disk', bytes: new Uint8Array(512) }, excursion: 'batch', paging: 'pae', exchange: ['floating-point', 'breakpoints', 'sysenter'] }).parts);
    expect(listing.match(/^; .*/gm)!.length).toBeGreaterThan(8);
    // Data that lies between instructions: pointers, and the gap behind them.
    expect(listing.match(/\.byte/g)?.length ?? 0).toBeLessThan(80);
    for (const text of ['mov cr0,eax', 'mov cr0,rax', 'wrmsr', 'lgdt', 'ltr ax', 'iret', 'fxsave', 'jmpf 0x8:']) expect(listing).toContain(text);
  });

  it('refuses guests that are none, or too many, and keys that are none', () => {
    for (const [bytes, text] of [[new Uint8Array(0), /the guest has 0 bytes/], [new Uint8Array(DISK_MOST + 1), /and 1 to 4194304 can be loaded/]] as const) expect(() => buildMonitor({ guest: { kind: 'disk', bytes } })).toThrow(text);
    expect(() => buildMonitor({ guest: { kind: 'disk', bytes: new Uint8Array(512), keys: 'é' } })).toThrow(/there is no key for "é"/);
  });

  it('comes on a disk of whole cylinders', () => {
    const { bytes, loadAddress } = buildMonitor({ guest });
    const disk = buildBootDisk(bytes, loadAddress);
    expect([disk.length % CYLINDER_BYTES, disk[510], disk[511]]).toEqual([0, 0x55, 0xaa]);
    expect(disk.subarray(512, 512 + bytes.length)).toEqual(bytes);
  });
});
