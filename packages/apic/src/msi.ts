import type { ApicBus } from './apic-bus.ts';
import { widenDestination } from './apic-bus.ts';
import { COMMAND_ASSERT, COMMAND_LEVEL, COMMAND_LOGICAL, COMMAND_MODE, COMMAND_VECTOR, MODE_FIXED, MODE_LOWEST } from './spec.ts';

const ADDRESS_PAGE = 0xfee; // address bits 31:20
const ADDRESS_REDIRECTION_HINT = 1 << 3;
const ADDRESS_LOGICAL = 1 << 2;

/** Is a DMA write to `address` a message-signalled interrupt? (SDM vol. 3, 12.11.1) */
export function isMsiAddress(address: number): boolean {
  return address >= 0xfee0_0000 && address < 0xfef0_0000;
}

/** Delivers a message-signalled interrupt; the number of local APICs that accepted it. */
export function sendMsi(bus: ApicBus, address: number, data: number): number {
  if (address > 0xffff_ffff || address >>> 20 !== ADDRESS_PAGE) return 0;
  const logical = (address & ADDRESS_LOGICAL) !== 0;
  let mode = data & COMMAND_MODE;
  if (mode === MODE_FIXED && logical && (address & ADDRESS_REDIRECTION_HINT) !== 0) mode = MODE_LOWEST;
  const command = (data & (COMMAND_VECTOR | COMMAND_LEVEL | COMMAND_ASSERT)) | mode | (logical ? COMMAND_LOGICAL : 0);
  return bus.send(widenDestination((address >>> 12) & 0xff, logical), command);
}
