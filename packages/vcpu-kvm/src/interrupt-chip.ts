/**
 * The kernel's local APICs (KVM API documentation, section 7.5, KVM_CAP_SPLIT_IRQCHIP). They are the models', borrowed while guests run:
 * the I/O APIC and the 8259 are devices of the machine, whose messages go in by KVM_SIGNAL_MSI and whose wire by KVM_INTERRUPT.
 */
import { KvmError } from './kvm-error.ts';
import type { KvmDevice, KvmVm } from './kvm-calls.ts';
import { IRQ_ROUTING, IRQ_ROUTING_ENTRY, MSI } from './kvm-layout-table.ts';
import { NUMBERS } from './kvm-number-table.ts';

/** Levels whose ends KVM tells us of: as many as an I/O APIC has pins, and some whose vectors are not used any more. */
const ROUTES = 64;
/** Newer than some systems' headers: the version of the local APIC does not offer to keep ends from the I/O APIC, which the models do not either. */
const DISABLE_SUPPRESS_EOI_BROADCAST = 8;
const NEEDED = ['KVM_CAP_SPLIT_IRQCHIP', 'KVM_CAP_SIGNAL_MSI', 'KVM_CAP_IRQ_ROUTING', 'KVM_CAP_MP_STATE'] as const;
const MSI_ADDRESS = 0xfee0_0000;
// The command word, the low half of the ICR, and the data and address of a message-signalled interrupt (SDM vol. 3, 12.6.1 and 12.11).
const DATA_BITS = 0xc7ff, LEVEL = 1 << 15, LOGICAL = 1 << 11, ADDRESS_LOGICAL = 1 << 2;

/** One processor's, in the kernel while they are borrowed. */
export interface ChipProcessor {
  /** It is out of the guest, and stays there. */
  readonly isParked: boolean;
  /** Gives the kernel what the model has. */
  borrow(): void;
  /** Gives the model what the kernel has. */
  giveBack(): void;
}

export class InterruptChip {
  /** Processors come back from a run when they have nothing to do. */
  readonly waits: boolean;
  readonly #vm: KvmVm;
  readonly #processors: ChipProcessor[] = [];
  readonly #message = new DataView(new ArrayBuffer(MSI.bytes));
  readonly #bytes = new Uint8Array(this.#message.buffer);
  readonly #routes = new Map<number, readonly [address: number, data: number]>(); // by both, the one used last at the end
  #borrowed = false;

  /** Before there are processors. Throws KvmError. */
  constructor(device: KvmDevice, vm: KvmVm, waits: boolean) {
    this.#vm = vm;
    this.waits = waits;
    for (const name of NEEDED) if (device.extension(NUMBERS[name]) === 0) throw new KvmError(`the host's kernel is too old for its interrupt chip: it has no ${name}`);
    vm.enable(NUMBERS.KVM_CAP_SPLIT_IRQCHIP, ROUTES);
    if ((device.extension(NUMBERS.KVM_CAP_X2APIC_API) & DISABLE_SUPPRESS_EOI_BROADCAST) !== 0) vm.enable(NUMBERS.KVM_CAP_X2APIC_API, DISABLE_SUPPRESS_EOI_BROADCAST);
  }

  get isBorrowed(): boolean { return this.#borrowed; }
  /** Ends of some are to be told. */
  get hasLevels(): boolean { return this.#routes.size > 0; }
  add(one: ChipProcessor): void { this.#processors.push(one); }

  /** Guests are about to run: all local APICs, before the first of them does. */
  borrow(): void {
    if (this.#borrowed) return;
    this.#borrowed = true;
    for (const one of this.#processors) one.borrow();
  }
  /** A processor stands still: once all do, who could still send each other something. */
  giveBack(): void {
    if (!this.#borrowed || !this.#processors.every(({ isParked }) => isParked)) return;
    this.#borrowed = false;
    for (const one of this.#processors) one.giveBack();
  }

  /** HOT: how many local APICs took the message. */
  send(destination: number, command: number): number {
    const address = (MSI_ADDRESS | ((destination & 0xff) << 12) | ((command & LOGICAL) === 0 ? 0 : ADDRESS_LOGICAL)) >>> 0;
    const data = command & DATA_BITS;
    if ((command & LEVEL) !== 0) this.#route(address, data);
    this.#message.setUint32(MSI.fields.address_lo[0], address, true);
    this.#message.setUint32(MSI.fields.data[0], data, true);
    return this.#vm.tell('KVM_SIGNAL_MSI', this.#bytes);
  }

  /** Ends of this vector at processor `index` are to be told: a level that another engine has begun to serve. */
  expectEnd(index: number, vector: number): void { this.#route((MSI_ADDRESS | (index << 12)) >>> 0, vector | LEVEL); }

  /** KVM tells ends of those vectors that levels in its table of routes have. They are found out one by one, as levels are sent. */
  #route(address: number, data: number): void {
    const key = (address & 0xf_ffff) * 0x1_0000 + data;
    if (this.#routes.has(key)) return;
    if (this.#routes.size === ROUTES) this.#routes.delete(this.#routes.keys().next().value!);
    this.#routes.set(key, [address, data]);
    const { fields, bytes } = IRQ_ROUTING_ENTRY;
    const table = new DataView(new ArrayBuffer(IRQ_ROUTING.bytes + this.#routes.size * bytes));
    table.setUint32(IRQ_ROUTING.fields.nr[0], this.#routes.size, true);
    let at = IRQ_ROUTING.bytes;
    let number = 0;
    for (const [low, word] of this.#routes.values()) {
      table.setUint32(at + fields.gsi[0], number++, true);
      table.setUint32(at + fields.type[0], NUMBERS.KVM_IRQ_ROUTING_MSI, true);
      table.setUint32(at + fields['u.msi.address_lo'][0], low, true);
      table.setUint32(at + fields['u.msi.data'][0], word, true);
      at += bytes;
    }
    this.#vm.call('KVM_SET_GSI_ROUTING', new Uint8Array(table.buffer));
  }
}
