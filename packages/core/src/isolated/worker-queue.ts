import type { Size } from '../abi.ts';
import type { AccessQueue } from '../engine.ts';
import { allOnes } from '../slot-table.ts';
import type { DeviceWorker } from './device-worker.ts';
import { ACCESS_LIST, ACCESS_NUMBERS, MOST_ACCESSES, TOLD } from './mailbox.ts';

/** A worker that is cut off in the middle of a list answers like the open bus, and the machine hears of it. */
export function queueOf(worker: DeviceWorker, sharesMemory: boolean): AccessQueue {
  const { words, numbers } = worker.box;
  let failed = false;
  return {
    most: MOST_ACCESSES,
    sharesMemory,
    run: (count, until) => {
      try {
        return worker.run(count, until);
      } catch {
        failed = true;
        return count;
      }
    },
    get told() { return failed || words[TOLD] !== 0; },
    result: (index) => {
      const size = numbers[ACCESS_LIST + index * ACCESS_NUMBERS + 3]! as Size;
      return failed ? allOnes(size) : worker.result(index, size);
    },
  };
}
