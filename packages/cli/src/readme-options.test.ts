import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { bootCommand } from './boot-command.ts';
import { devicesCommand } from './devices-command.ts';
import { diskCommand } from './disk-command.ts';
import { execCommand } from './exec-command.ts';
import { guestCommand } from './guest-command.ts';
import { longmodeCommand } from './longmode-command.ts';
import { runCommand } from './run-command.ts';
import { ctlCommand } from './ctl-command.ts';
import { snapshotCommand } from './snapshot-command.ts';
import { startCommand } from './start-command.ts';

it('the README knows every option, and no others', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const told = new Set(Array.from(readme.matchAll(/`--([a-z-]+)/g), ([, name]) => name));
  const there = new Set([startCommand, bootCommand, runCommand, devicesCommand, guestCommand, diskCommand, snapshotCommand, ctlCommand, execCommand, longmodeCommand].flatMap((command) => Object.keys(command.options)));
  expect([...told].sort()).toEqual([...there, 'help'].sort());
});
