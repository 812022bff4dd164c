import type { IoHandler } from '@vm/core';
import { PortMap } from '../packages/core/src/address-map.ts';
import { Bus } from '../packages/core/src/io-bus.ts';
import { SlotTable } from '../packages/core/src/slot-table.ts';
import { type Benchmark, row, shortest } from './registry.ts';

const PORTS = [0x20, 0x40, 0x60, 0x70, 0xa0, 0x3f8, 0x4d0, 0x600];
const PER_RUN = 4_000_000;

/** What one port access costs between the processor and the device, with eight devices in turn. */
export const io: Benchmark = {
  summary: 'port accesses through the bus',
  async run({ quick }) {
    const runs = quick ? 3 : 15;
    const count = quick ? PER_RUN / 8 : PER_RUN;
    const handlers = createHandlers();
    const table = new SlotTable((_owner, _label, error) => {
      throw error;
    });
    const bus = new Bus(table, new PortMap(table));
    handlers.forEach((handler, i) => bus.spaceFor(`device-${i}`).claim('port', 1, handler).map(PORTS[i]!));
    const byPort = new Map(handlers.map((handler, i) => [PORTS[i]!, handler]));
    const ours = shortest(runs, () => time(count, (port) => bus.read(port, 1)));
    const map = shortest(runs, () => time(count, (port) => byPort.get(port)!.read(0, 1)));
    return [row('port read', 'ns', runs, ours, { name: 'Map of handlers', value: map })];
  },
};

function time(count: number, read: (port: number) => number): number {
  let sum = 0;
  const begin = performance.now();
  for (let i = 0; i < count; i++) sum += read(PORTS[i & 7]!);
  const nanos = ((performance.now() - begin) * 1e6) / count;
  if (sum === 0) throw new Error('no handler answered');
  return nanos;
}

/** Eight classes, as eight kinds of device are. */
function createHandlers(): IoHandler[] {
  const make = (step: number): IoHandler => {
    class Port implements IoHandler {
      #count = 0;
      read(): number {
        return (this.#count = (this.#count + step) & 0xff);
      }
      write(): void {
        this.#count = 0;
      }
    }
    return new Port();
  };
  return PORTS.map((_port, i) => make(2 * i + 1));
}
