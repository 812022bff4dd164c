/** The FreeDOS floppy, which the project does not carry: a test without it says so. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { buildMonitor, type MonitorImage, type MonitorOptions } from '@vm/longmode-switch';

const NAMED = process.env['VM_FREEDOS'];
export const FREEDOS: string = NAMED ?? fileURLToPath(new URL('../../../shared/data/freedos/freedos13-floppy.img', import.meta.url));
export const hasFreedos: boolean = existsSync(FREEDOS);
const RENAMED = 'X'.charCodeAt(0);

/** Its automatic start, which draws a menu into video memory, gets another name; then it asks for date, time and commands. */
export function freedosMonitor(options: Partial<MonitorOptions> = {}): MonitorImage {
  const disk = readFileSync(FREEDOS);
  const entry = disk.indexOf('FDAUTO  BAT');
  if (entry < 0) throw new Error(`${FREEDOS}: there is no FDAUTO.BAT`);
  disk[entry] = RENAMED;
  return buildMonitor({ guest: { kind: 'disk', bytes: disk, keys: '\r\r\rver\rdir /w\recho from V86\r' }, hz: 250, ...options });
}

/** Whatever is on the lines of the transcript that matter. */
export const FREEDOS_SAYS = [
  'monitor: in long mode\r\n', 'FreeDOS kernel 2043', 'FreeCom version 0.85a', 'Current date is Wed 01/01/2020', 'A:\\>ver\r\n', 'KERNEL.SYS     XDAUTO.BAT', '\r\nfrom V86\r\nA:\\>',
  'monitor: the guest waits for what does not come\r\nmonitor: first program: right\r\nmonitor: second program: right\r\nmonitor: end\r\n',
] as const;
