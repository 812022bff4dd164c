import type { Device, DeviceContext, DeviceModule, IoHandler, Plain, Size } from '@vm/core';
import { PciFunction, type PciSlot } from '@vm/pci';
import { AtaChannel, type AtaDrive } from './ata-channel.ts';
import * as spec from './spec.ts';

export interface PiixIdeConfig {
  /** The place of the controller; behind an ISA bridge it is function 1 of its slot. */
  readonly slot: PciSlot;
  /** Function 0 of the slot, for a bridge without registers of its own. Absent: somebody else has one. */
  readonly isaSlot?: PciSlot;
  /** Names of disks among the machine's blocks, up to four: first and second of the first channel, then of the second. */
  readonly drives: readonly { readonly block: string; readonly serial?: string }[];
}

type IdeContext = DeviceContext<'pio' | 'lines' | 'dma' | 'host'>;

const CHANNELS = [{ base: 0x1f0, control: 0x3f6, pin: 14 }, { base: 0x170, control: 0x376, pin: 15 }] as const;
const MASTER_WINDOW = 4;

/** The IDE function of the PIIX4, with both channels at their places of ISA. */
class PiixIde implements Device, IoHandler {
  readonly #channels: readonly AtaChannel[];
  readonly #function: PciFunction;
  readonly #bridge: PciFunction | null;

  constructor(ctx: IdeContext, config: PiixIdeConfig) {
    const drives = config.drives.map(({ block, serial }): AtaDrive => ({ disk: ctx.host.block(block), serial: serial ?? block }));
    if (drives.length > CHANNELS.length * spec.DRIVES) throw new RangeError(`piix-ide: there is room for 4 drives, got ${drives.length}`);
    this.#bridge = config.isaSlot === undefined ? null : new PciFunction(config.isaSlot, {}, { vendor: spec.VENDOR, device: spec.ISA_BRIDGE, classCode: spec.CLASS_ISA_BRIDGE });
    this.#channels = CHANNELS.map(({ base, control, pin }, i) => {
      const line = ctx.lines.connect(pin);
      const channel = new AtaChannel(drives.slice(i * spec.DRIVES, (i + 1) * spec.DRIVES), {
        dma: ctx.dma,
        isMaster: () => this.#function.isMaster,
        interrupt: (high) => line.set(high),
        failed: (error) => ctx.log('warn', `the disk failed: ${error instanceof Error ? error.message : String(error)}`),
      });
      ctx.pio.claim(`command${i}`, spec.BLOCK_BYTES, channel).map(base);
      ctx.pio.claim(`control${i}`, 1, { read: () => channel.readAlternateStatus(), isSteady: () => true, write: (_offset, _size, value) => channel.writeControl(value) }, [1]).map(control);
      return channel;
    });
    this.#function = new PciFunction(config.slot, ctx, {
      vendor: spec.VENDOR,
      device: spec.IDE,
      classCode: spec.CLASS_IDE_MASTER,
      revision: 1,
      bars: [{ index: MASTER_WINDOW, space: 'ports', bytes: 2 * spec.MASTER_BYTES, handler: this }],
      registers: Array.from({ length: 12 }, (_, i) => ({ offset: spec.TIMING + i, value: i === 1 || i === 3 ? spec.TIMING_ENABLED : 0, writable: 0xff })),
    });
  }

  powerUp(): void {
    this.#bridge?.reset();
    this.#function.reset();
    for (const channel of this.#channels) channel.powerUp();
  }

  start(): void {
    for (const channel of this.#channels) channel.start();
  }

  read(offset: number, size: Size): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.#master(offset + i).readByte((offset + i) % spec.MASTER_BYTES);
    return value;
  }

  isSteady(): boolean { return true; }

  write(offset: number, size: Size, value: number): void {
    for (let i = 0; i < size; i++) this.#master(offset + i).writeByte((offset + i) % spec.MASTER_BYTES, (value >>> (8 * i)) & 0xff);
  }

  save(): Plain {
    return { function: this.#function.save(), bridge: this.#bridge?.save() ?? null, channels: this.#channels.map((channel) => channel.save()) };
  }

  load(state: Plain): void {
    const { function: own, bridge, channels } = (state ?? {}) as Readonly<Record<string, Plain>>;
    if (!Array.isArray(channels) || channels.length !== this.#channels.length) throw new TypeError('piix-ide: expected two channels');
    this.#function.load(own ?? null);
    this.#bridge?.load(bridge ?? null);
    this.#channels.forEach((channel, i) => channel.load(channels[i] as Plain));
  }

  #master(offset: number): AtaChannel['master'] {
    return this.#channels[offset < spec.MASTER_BYTES ? 0 : 1]!.master;
  }
}

/** Two IDE channels with up to four ATA disks. */
export const piixIde: DeviceModule<PiixIdeConfig, 'pio' | 'lines' | 'dma' | 'host'> = {
  manifest: { abi: 1, id: 'vm.piix-ide', version: '0.0.0', state: 1, needs: ['pio', 'lines', 'dma', 'host'] },
  create: (ctx, config) => new PiixIde(ctx, config),
};
