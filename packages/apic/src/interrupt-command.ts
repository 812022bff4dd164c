import type { ApicBus } from './apic-bus.ts';
import { widenDestination } from './apic-bus.ts';
import type { LocalApic } from './local-apic.ts';
import * as spec from './spec.ts';

/** Sends what an interrupt command register holds (SDM vol. 3, 12.6.1). False: the vector is illegal. */
export function sendCommand(bus: ApicBus, from: LocalApic, command: number, high: number, wideDestination: boolean): boolean {
  const mode = command & spec.COMMAND_MODE;
  if (mode <= spec.MODE_LOWEST && (command & spec.COMMAND_VECTOR) < spec.FIRST_LEGAL_VECTOR) return false;
  // Inter-processor interrupts are edges whatever the level bit says, except the INIT de-assert (SDM vol. 3, 12.6.1).
  const sent = mode === spec.MODE_INIT ? command : (command & ~spec.COMMAND_LEVEL) | spec.COMMAND_ASSERT;
  switch ((command >>> spec.COMMAND_SHORTHAND_SHIFT) & 3) {
    case spec.SHORTHAND_NONE:
      bus.send(wideDestination ? high : widenDestination(high >>> 24, (command & spec.COMMAND_LOGICAL) !== 0), sent);
      break;
    // To themselves processors send fixed interrupts only; others go nowhere (SDM vol. 3, table 12-3).
    case spec.SHORTHAND_SELF:
      if (mode === spec.MODE_FIXED) bus.deliver(from, sent);
      break;
    case spec.SHORTHAND_ALL:
      if (mode === spec.MODE_FIXED) bus.sendToAll(sent, null);
      break;
    default: bus.sendToAll(sent, from);
  }
  return true;
}
