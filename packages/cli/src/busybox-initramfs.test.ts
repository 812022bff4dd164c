import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { itWithOracle } from '@vm/testkit/oracle';
import { expect, it } from 'vitest';
import { buildBusyboxInitramfs } from './busybox-initramfs.ts';

const MODULES = [{ name: 'button.ko', bytes: Uint8Array.of(1, 2, 3) }];
const BUSYBOX = Uint8Array.from([0x7f, 0x45, 0x4c, 0x46]);

it('is the same for the same busybox', () => {
  expect(buildBusyboxInitramfs(BUSYBOX, MODULES)).toEqual(buildBusyboxInitramfs(BUSYBOX, MODULES));
});

itWithOracle(it, 'cpio', 'has an init, a console and the known file', (cpio) => {
  const { bytes, known } = buildBusyboxInitramfs(BUSYBOX, MODULES);
  const archive = gunzipSync(bytes);
  const list = spawnSync(cpio, ['-tv', '--quiet'], { input: archive }).stdout.toString();
  expect(list).toMatch(/^-rwxr-xr-x.* init$/m);
  expect(list).toMatch(/^crw-.* 5, +1 .* dev\/console$/m);
  expect(list).toMatch(/^-rwxr-xr-x.* 4 .* bin\/busybox$/m);
  expect(list).toMatch(/^-rw-r--r--.* 3 .* lib\/modules\/button\.ko$/m);
  expect(list).toMatch(/^-rwxr-xr-x.* etc\/acpi\/PWRF\/00000080$/m);
  const contents = spawnSync(cpio, ['-i', '--to-stdout', '--quiet', known.path.slice(1)], { input: archive }).stdout;
  expect(contents).toHaveLength(65_536);
  expect(createHash('sha256').update(contents).digest('hex')).toBe(known.sha256);
});

itWithOracle(it, 'busybox', 'has an init that the shell of busybox can read', (busybox) => {
  const archive = gunzipSync(buildBusyboxInitramfs(BUSYBOX, MODULES).bytes).toString('latin1');
  const init = /#!\/bin\/busybox sh\n[\s\S]*?\npoweroff -f\n/.exec(archive)?.[0] ?? '';
  const { status, stderr } = spawnSync(busybox, ['sh', '-n'], { input: init });
  expect([status, stderr.toString()]).toEqual([0, '']);
});
