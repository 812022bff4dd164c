import type { StopReason } from '@vm/core';
import { EXIT_BROKEN, EXIT_CRASH, EXIT_FINE } from './exit-code.ts';

/** How a session ended: the exit code, and what to say about it. */
export interface SessionEnd {
  readonly code: number;
  readonly text: string | null;
  /** The state of the processor is of interest. */
  readonly crash?: boolean;
}

export function endOf(reason: StopReason): SessionEnd {
  switch (reason) {
    case 'power-off': return { code: EXIT_FINE, text: null };
    case 'reset': return { code: EXIT_FINE, text: 'the guest has reset the machine' };
    case 'shutdown': return { code: EXIT_CRASH, text: 'the processor has shut down: an exception while it delivered a double fault', crash: true };
    case 'aborted': return { code: EXIT_BROKEN, text: 'aborted' };
    case 'faulted':
    case 'failed': return { code: EXIT_BROKEN, text: 'the machine has failed', crash: true };
  }
}
