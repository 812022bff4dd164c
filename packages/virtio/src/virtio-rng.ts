import type { Device, DeviceContext, DeviceModule, Plain } from '@vm/core';
import type { PciSlot } from '@vm/pci';
import { scatter } from './chain.ts';
import { SeededRandom } from './seeded-random.ts';
import * as spec from './spec.ts';
import { VirtioPci, type VirtioModel } from './virtio-pci.ts';

export interface VirtioRngConfig {
  readonly slot: PciSlot;
  /** Where random bytes come from: the host, or a generator that begins with a seed where runs are to be the same. */
  readonly source: { readonly fill: (into: Uint8Array) => void } | { readonly seed: number };
  readonly packed?: boolean;
}

const CLASS_OTHER = 0xff_0000;
const MOST_BYTES = 4096; // a request; the driver asks again
const MOST_REQUESTS = 256; // a notification

/** Entropy device (5.4). */
class VirtioRng implements Device, VirtioModel {
  readonly deviceId: number = spec.ENTROPY_DEVICE;
  readonly classCode: number = CLASS_OTHER;
  readonly features: readonly number[] = [];
  readonly queues = 1;
  readonly config: Uint8Array = new Uint8Array(0);
  readonly #transport: VirtioPci;
  readonly #ctx: DeviceContext<'mmio' | 'lines' | 'msi' | 'dma'>;
  readonly #source: VirtioRngConfig['source'];
  #generator: SeededRandom | null = null;

  constructor(ctx: DeviceContext<'mmio' | 'lines' | 'msi' | 'dma'>, config: VirtioRngConfig) {
    this.#ctx = ctx;
    this.#source = config.source;
    this.#transport = new VirtioPci(config.slot, ctx, this, { packed: config.packed === true });
  }

  powerUp(why: 'cold' | 'reset' | 'restore'): void {
    this.#transport.powerUp();
    if (why !== 'reset') this.#generator = 'seed' in this.#source ? new SeededRandom(this.#source.seed) : null;
  }

  reset(): void {
    // no request outlives its notification
  }

  save(): Plain {
    return { transport: this.#transport.save(), generator: this.#generator === null ? null : this.#generator.save() };
  }

  load(state: Plain): void {
    const { transport = null, generator = null } = (state ?? {}) as Readonly<Record<string, Plain>>;
    this.#transport.load(transport);
    if (this.#generator !== null) this.#generator.load(generator);
  }

  notified(queue: number): void {
    const ring = this.#transport.ring(queue);
    // Random bytes over the ring itself could make more requests without end.
    for (let i = 0; ring !== null && i < MOST_REQUESTS; i++) {
      const chain = ring.pop();
      if (chain === null) return;
      const bytes = new Uint8Array(Math.min(chain.writableBytes, MOST_BYTES));
      if (this.#generator !== null) this.#generator.fill(bytes);
      else if ('fill' in this.#source) this.#source.fill(bytes);
      scatter(this.#ctx.dma, chain.writable, 0, bytes);
      ring.push(chain, bytes.length);
    }
  }
}

/** A source of random bytes on virtio. */
export const virtioRng: DeviceModule<VirtioRngConfig, 'mmio' | 'lines' | 'msi' | 'dma'> = {
  manifest: { abi: 1, id: 'vm.virtio-rng', version: '0.0.0', state: 1, needs: ['mmio', 'lines', 'msi', 'dma'], wants: ['hot-remove'] },
  create: (ctx, config) => new VirtioRng(ctx, config),
};
