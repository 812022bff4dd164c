import type { IoHandler, Plain } from '../abi.ts';
import type { Pci } from '../pci.ts';
import { PCI_INTERRUPT, PCI_MESSAGE } from './mailbox.ts';
import type { WorkerLink } from './worker-link.ts';

/** The capability `pci` of a device in a worker: the function is with the machine, its windows are answered here. */
export function workerPci(link: WorkerLink, handlers: IoHandler[]): Pci {
  const ask = (question: string, state: Plain = null): unknown => link.invoke('askPci', question, state);
  return {
    create: ({ regions, ...description }) => {
      const sent = regions.map(({ handler, sizes, ...region }) => ({ ...region, sizes: sizes === undefined ? null : [...sizes], readsWide: handler.readWide !== undefined, writesWide: handler.writeWide !== undefined }));
      const ids = link.invoke('pci', { ...description, regions: sent }) as readonly number[];
      regions.forEach(({ handler }, i) => (handlers[ids[i]!] = handler));
      return {
        get isMaster() { return ask('isMaster') === true; },
        get usesMsix() { return ask('usesMsix') === true; },
        setInterrupt: (high) => link.effect(PCI_INTERRUPT, high ? 1 : 0, 0),
        interrupt: (vector) => link.effect(PCI_MESSAGE, vector, 0),
        reset: () => void ask('reset'),
        save: () => ask('save') as Plain,
        load: (state) => void ask('load', state),
      };
    },
  };
}
