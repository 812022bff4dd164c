import { memoryDisk } from '@vm/block';
import { device, type DeviceModule, type VmError } from '@vm/core';
import type { ResourceClaim } from '@vm/core/directory';
import { debugcon } from '@vm/device-debugcon';
import { wasmEngine } from '@vm/vcpu-wasm';
import { expect, it } from 'vitest';
import { boardClaims } from './board-claims.ts';
import { createPc } from './pc.ts';
import { postPorts, testDevices } from './test-devices.ts';

// Places that firmware gives away later, and those that are no device's.
const LATER = new Set(['pci', 'ram', 'rom', 'local-apic']);
const END = { ports: 0x1_0000, memory: 2 ** 32 };

/** Asks for each claimed range, and for all of what lies between two: who answers? */
function prober(claims: readonly ResourceClaim[], found: string[]): DeviceModule<void, 'pio' | 'mmio'> {
  return {
    manifest: { abi: 1, id: 'test.prober', version: '0.0.0', state: 0, needs: ['pio', 'mmio'] },
    create: ({ pio, mmio }) => {
      let count = 0;
      for (const [kind, space] of [['ports', pio], ['memory', mmio]] as const) {
        const ask = (base: number, bytes: number): string => {
          const region = space.claim(`r${count++}`, bytes, { read: () => 0, write: () => {} });
          try {
            region.map(base);
          } catch (error) {
            return (error as VmError).message.replace(/.*taken by /, '');
          }
          region.unmap();
          return 'nobody';
        };
        let end = 0;
        for (const { device: owner, name, base, bytes } of claims.filter((claim) => claim.kind === kind && !LATER.has(claim.device)).sort((a, b) => a.base - b.base)) {
          if (base > end) found.push(`${kind} ${end.toString(16)}: ${ask(end, base - end)}`);
          for (const at of new Set([base, base + bytes - 1])) if (ask(at, 1) !== `${owner}.${name}`) found.push(`${kind} ${at.toString(16)}: expected ${owner}.${name}, got ${ask(at, 1)}`);
          end = base + bytes;
        }
        found.push(`${kind} ${end.toString(16)}: ${ask(end, END[kind] - end)}`);
      }
      return {};
    },
  };
}

async function compare(claims: readonly ResourceClaim[], options: object): Promise<void> {
  const found: string[] = [];
  const devices = (options as { devices?: readonly [] }).devices ?? [];
  const pc = await createPc({ engine: wasmEngine(), ramBytes: 2 ** 24, rom: new Uint8Array(4096), ...options, devices: [...devices, device('prober', prober(claims, found))] });
  await pc.machine[Symbol.asyncDispose]();
  expect(found.length).toBeGreaterThan(10);
  expect(found.filter((line) => !line.endsWith(': nobody'))).toEqual([]);
}

it('is what the devices of a board take, no more and no less', async () => {
  await compare(boardClaims({ ramBytes: 2 ** 24 }), {});
  await compare(boardClaims({ ramBytes: 2 ** 24, disks: ['virtio', 'ata'], hpet: true }), { hpet: true, disks: [{ disk: memoryDisk(4096) }, { disk: memoryDisk(4096), bus: 'ata' }] });
});

it('is what the devices of a program without an operating system take', async () => {
  const devices = [testDevices({ exit: () => {}, shutdown: () => {}, echoBytes: false }), ...postPorts([0x80, 0x190], () => {}), device('console-port', debugcon, { port: 0xe9, output: () => {} })];
  await compare(boardClaims({ ramBytes: 2 ** 24, bare: { postPorts: [0x80, 0x190], charPort: 0xe9 } }), { firmwareConfig: true, devices });
});
