import { expect, it } from 'vitest';
import { helloGuest } from './hello-guest.ts';
import { runMonitor } from './run-monitor.ts';

it.each(['always', 'batch'] as const)('a guest in 32-bit ring 0 says hello and ends with its number, excursions %s', async (excursion) => {
  const { output, code } = await runMonitor(helloGuest('hello from ring 0', 42), { excursion });
  expect(code).toBe(42);
  expect(output).toContain('monitor: in long mode\r\nhello from ring 0\r\nmonitor: the guest has ended\r\n');
});
