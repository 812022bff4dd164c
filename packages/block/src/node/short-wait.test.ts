import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it, vi } from 'vitest';
import { ShortWait } from './short-wait.ts';

afterEach(() => { vi.restoreAllMocks(); });

it('keeps the event loop turning for a moment only, and not again after a long wait', async () => {
  const turns = vi.spyOn(globalThis, 'setImmediate');
  const wait = new ShortWait();
  wait.begin();
  expect(turns).toHaveBeenCalled();
  await sleep(20); // many times what it waits for
  const count = turns.mock.calls.length;
  await sleep(20);
  expect(turns).toHaveBeenCalledTimes(count);
  wait.end();
  wait.begin();
  await sleep(20);
  expect(turns).toHaveBeenCalledTimes(count);
});

it('turns again once something came soon', () => {
  const turns = vi.spyOn(globalThis, 'setImmediate').mockImplementation(() => ({}) as NodeJS.Immediate);
  const now = vi.spyOn(performance, 'now').mockReturnValue(0);
  const wait = new ShortWait();
  wait.begin();
  now.mockReturnValue(10);
  (turns.mock.calls[0]![0] as () => void)(); // the turn that finds that it has waited long enough
  wait.end();
  wait.begin();
  expect(turns).toHaveBeenCalledTimes(1);
  now.mockReturnValue(10.1);
  wait.end();
  wait.begin();
  expect(turns).toHaveBeenCalledTimes(2);
});
