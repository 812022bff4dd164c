import type { SyntheticMessage } from './message-slot.ts';
import type { Partition } from './partition.ts';
import { MOST_OF_HOST } from './synthetic-controller.ts';

// Messages between a guest and the host's side of its bus, as Linux's driver of it has them: a type, 4 bytes of zeros, then what follows.
const OFFER = 1;
const REQUEST_OFFERS = 3;
const ALL_OFFERS_DELIVERED = 4;
const OPEN = 5;
const OPEN_RESULT = 6;
const GPADL_HEADER = 8;
const GPADL_CREATED = 10;
const INITIATE_CONTACT = 14;
const VERSION_RESPONSE = 15;
const UNLOAD = 16;
const UNLOAD_RESPONSE = 17;

const HEADER_BYTES = 8;
const OFFER_BYTES = 196;
const MESSAGE_TYPE = 1; // of all messages of this bus
const SOURCE = 2;
const CONNECTIONS = [1, 4]; // of versions before 5.0, and from then on
const NOT_SUPPORTED = 0xc000_00bb;
const FIRST_RELATION = 1;
/** A kind of device that no guest has a driver for. */
const KIND: readonly number[] = [0x76, 0x6d, 0x2d, 0x74, 0x65, 0x73, 0x74, 0x40, 0x80, 0x00, 0x63, 0x68, 0x61, 0x6e, 0x6e, 0x65];

/**
 * The least that a guest's driver of VMBus wants of its host: it agrees on a version, is offered channels of devices that it has
 * no driver for, and can leave again. There to exercise messages: its offers come in one burst.
 */
export class VmbusResponder {
  /** Messages of the guest, by type. */
  readonly heard: Map<number, number> = new Map();
  #processor = 0;
  readonly #partition: Partition;
  readonly #offers: number;

  constructor(partition: Partition, offers: number) {
    this.#partition = partition;
    this.#offers = offers;
    for (const connection of CONNECTIONS) partition.connectMessages(connection, (message) => this.#hear(message));
  }

  get processor(): number {
    return this.#processor;
  }

  set processor(index: number) {
    this.#processor = index;
  }

  #hear({ payload }: SyntheticMessage): number {
    if (payload.length < HEADER_BYTES) return 0; // as a host that does not understand
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    const word = (at: number): number => (at + 4 <= payload.length ? view.getUint32(at, true) : 0);
    const type = word(0);
    this.heard.set(type, (this.heard.get(type) ?? 0) + 1);
    switch (type) {
      case INITIATE_CONTACT:
        this.#processor = word(12);
        return this.#answer(VERSION_RESPONSE, [1, CONNECTIONS[1]!]); // supported, no state, the connection to use
      case REQUEST_OFFERS: {
        for (let index = 0; index < this.#offers; index++) this.#offer(index);
        return this.#answer(ALL_OFFERS_DELIVERED, []);
      }
      case OPEN: return this.#answer(OPEN_RESULT, [word(8), word(12), NOT_SUPPORTED]);
      case GPADL_HEADER: return this.#answer(GPADL_CREATED, [word(8), word(12), NOT_SUPPORTED]);
      case UNLOAD: return this.#answer(UNLOAD_RESPONSE, []);
      default: return 0;
    }
  }

  /** Kind and instance of a device, no memory of its own, and the number of its channel. */
  #offer(index: number): void {
    const payload = new Uint8Array(OFFER_BYTES);
    const view = new DataView(payload.buffer);
    view.setUint32(0, OFFER, true);
    payload.set(KIND, 8);
    payload.set(KIND, 24);
    view.setUint32(24, index, true); // two instances are never the same
    view.setUint32(184, FIRST_RELATION + index, true);
    view.setUint16(190, 1, true); // its interrupt is its own
    view.setUint32(192, 0x100 + index, true);
    this.#post(payload);
  }

  #answer(type: number, words: readonly number[]): number {
    const payload = new Uint8Array(HEADER_BYTES + words.length * 4);
    new Uint32Array(payload.buffer).set([type, 0, ...words]);
    this.#post(payload);
    return 0;
  }

  #post(payload: Uint8Array): void {
    this.#partition.post(this.#processor, SOURCE, { type: MESSAGE_TYPE, payload }, MOST_OF_HOST);
  }
}
