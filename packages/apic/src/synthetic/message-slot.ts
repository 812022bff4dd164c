import { HEADER_PENDING, MOST_PAYLOAD, SLOT_HEADER, SLOT_PAYLOAD, SLOT_SENDER, SLOT_TYPE } from './spec.ts';

/** What the protocol of a message slot needs of memory that two sides share. Every operation is sequentially consistent. `GuestWords` fits. */
export interface SlotMemory {
  load(at: number): number;
  store(at: number, value: number): void;
  or(at: number, bits: number): number;
  read(at: number, bytes: number): Uint8Array;
  write(at: number, from: Uint8Array): void;
}

export interface SyntheticMessage {
  readonly type: number; // not 0; from 2**31 on the hypervisor's
  readonly payload: Uint8Array; // up to 240 bytes
  readonly sender?: number; // port or connection; default 0
}

export function isMessage({ type, payload }: SyntheticMessage): boolean {
  return type !== 0 && payload.length <= MOST_PAYLOAD;
}

/**
 * The host's side of a slot (TLFS, 11.10.3): stores a message if the slot is empty. If it is full, the message in it gets the mark
 * that more is waiting, and the slot is looked at again: a guest that emptied it before it could see the mark will not ask.
 * False: the guest has seen the mark or will, and then ends its message with a store to the register EOM.
 */
export function placeMessage(memory: SlotMemory, slot: number, message: SyntheticMessage, more: boolean): boolean {
  if (memory.load(slot + SLOT_TYPE) !== 0) {
    memory.or(slot + SLOT_HEADER, HEADER_PENDING);
    if (memory.load(slot + SLOT_TYPE) !== 0) return false;
  }
  const { payload, sender = 0 } = message;
  memory.write(slot + SLOT_PAYLOAD, payload);
  memory.store(slot + SLOT_SENDER, sender);
  memory.store(slot + SLOT_SENDER + 4, 0);
  memory.store(slot + SLOT_HEADER, payload.length | (more ? HEADER_PENDING : 0));
  memory.store(slot + SLOT_TYPE, message.type); // last: it is what the guest looks at
  return true;
}

/** The guest's side: takes the message of a slot, null if there is none. `more`: it has to write EOM. */
export function takeMessage(memory: SlotMemory, slot: number): { readonly message: SyntheticMessage; readonly more: boolean } | null {
  const type = memory.load(slot + SLOT_TYPE);
  if (type === 0) return null;
  const payload = memory.read(slot + SLOT_PAYLOAD, memory.load(slot + SLOT_HEADER) & 0xff);
  const sender = memory.load(slot + SLOT_SENDER);
  memory.store(slot + SLOT_TYPE, 0);
  return { message: { type, payload, sender }, more: (memory.load(slot + SLOT_HEADER) & HEADER_PENDING) !== 0 };
}
