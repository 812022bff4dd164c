import type { LogLevel } from './abi.ts';
import type { HostPort } from './host-port.ts';

const SLOW_NANOS = 5e9;
const MOST_NANOS = 120e9;

export interface HookServices {
  readonly host: HostPort;
  log(device: string, level: LogLevel, text: string): void;
}

/** Waits for a hook of a device. A promise that is never settled must not keep the machine from all that comes after it. */
export async function inTime({ host, log }: HookServices, device: string, step: string, hook: () => void | Promise<void>): Promise<void> {
  let alarm: unknown;
  const late = new Promise<never>((_resolve, reject) => {
    alarm = host.later(SLOW_NANOS, () => {
      log(device, 'warn', `${step} takes more than ${SLOW_NANOS / 1e9} s`);
      alarm = host.later(MOST_NANOS - SLOW_NANOS, () => reject(new Error(`it was not done within ${MOST_NANOS / 1e9} s`)));
    });
  });
  try {
    await Promise.race([hook(), late]);
  } finally {
    host.cancel(alarm);
  }
}
