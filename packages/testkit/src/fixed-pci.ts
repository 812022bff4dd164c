import type { PciDevice, PciMaker } from '@vm/core/pci';

// Where windows lie when there is no guest to place them: those of the first device, by their number.
export const PCI_MEMORY = 0xe000_0000;
export const PCI_PORTS = 0xc000;
export const PCI_PIN = 16;
/** Where messages of MSI-X go, with the vector as data. */
export const PCI_MESSAGE = 0xfee0_0000;

const MEMORY_STEP = 0x10_0000; // between windows
const PORT_STEP = 0x100;
const WINDOWS = 6;

/** The capability `pci` without a bus: windows are open from the beginning, the device is master, and MSI-X is on if it has any. */
export function fixedPci(): PciMaker {
  let devices = 0;
  return (_device, { pio, mmio, lines, msi }) => ({
    create: ({ regions, interruptPin, msix }): PciDevice => {
      const first = WINDOWS * devices++;
      for (const { bar, space, bytes, handler, sizes } of regions) {
        if (space === 'ports') pio.claim(`bar${bar}`, bytes, handler, sizes).map(PCI_PORTS + (first + bar) * PORT_STEP);
        else mmio.claim(`bar${bar}`, bytes, handler, sizes).map(PCI_MEMORY + (first + bar) * MEMORY_STEP);
      }
      const line = interruptPin === undefined ? null : lines.connect(PCI_PIN);
      let level = false;
      const setInterrupt = (high: boolean): void => {
        level = high;
        line?.set(high && msix === undefined);
      };
      return {
        isMaster: true,
        usesMsix: msix !== undefined,
        setInterrupt,
        interrupt: (vector) => {
          if (vector < (msix?.vectors ?? 0)) msi.send(PCI_MESSAGE, vector);
        },
        reset: () => setInterrupt(false),
        save: () => ({ level }),
        load: (state) => {
          const saved = (state ?? {}) as { readonly level?: unknown };
          if (typeof saved.level !== 'boolean') throw new TypeError('pci: level expected a boolean');
          setInterrupt(saved.level);
        },
      };
    },
  });
}
