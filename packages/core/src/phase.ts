import type { Phase } from './abi.ts';
import { VmError } from './errors.ts';

/**
 *   off -> initializing -> powering-up -> [loading] -> running <-> saving
 *    ^          |              ^  |          |           |
 *    |          v              |  v          v           v
 *    '----- tearing-down <--- powering-down <------------'
 */
const NEXT: Readonly<Record<Phase, readonly Phase[]>> = {
  off: ['initializing'],
  initializing: ['powering-up', 'tearing-down'],
  'powering-up': ['loading', 'running', 'powering-down'],
  loading: ['running', 'powering-down'],
  running: ['saving', 'powering-down'],
  saving: ['running', 'powering-down'],
  'powering-down': ['powering-up', 'tearing-down'],
  'tearing-down': ['off'],
};

/** Returns `to`, or throws when no machine may go there from `from`. */
export function checkTransition(from: Phase, to: Phase): Phase {
  if (!NEXT[from].includes(to)) throw new VmError('E_PHASE', `the machine is ${from}; from there it goes to ${NEXT[from].join(' or ')}, not to ${to}`);
  return to;
}
