import type { PciMaker } from '@vm/core/pci';
import type { PciSlot } from './pci-bus.ts';
import { PciFunction } from './pci-function.ts';

/** The capability `pci` of a machine: each device gets the function of one slot, which `slotOf` finds by its name. */
export function pciCapability(slotOf: (device: string) => PciSlot): PciMaker {
  return (device, services) => {
    let made = false;
    return {
      create: ({ regions, ...description }) => {
        if (made) throw new TypeError(`${device}: one function is what it gets`);
        made = true;
        const fn = new PciFunction(slotOf(device), services, { ...description, bars: regions.map(({ bar, ...region }) => ({ ...region, index: bar })) });
        return {
          get isMaster() { return fn.isMaster; },
          get usesMsix() { return fn.usesMsix; },
          setInterrupt: (high) => fn.setInterrupt(high),
          interrupt: (vector) => fn.notify(vector),
          reset: () => fn.reset(),
          save: () => fn.save(),
          load: (state) => fn.load(state),
        };
      },
    };
  };
}
