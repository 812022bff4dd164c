import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shell, smallKernel } from './small-kernel.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** What the examples print, in their order. */
const DOCUMENTS: Readonly<Record<string, readonly RegExp[]>> = {
  'README.md': [/^!\nshutdown\n$/],
  'docs/embedding.md': [
    /^uname -a\n# \n$/,
    /^# uname -a\n# powerofpower-off\n$/,
    /^listening\noutput\ntrue true\n$/,
    /^aborted\n$/,
    /^\[ 'uname -r\\n# ', 'date\\n# ', 'id\\n# ' \]\n$/,
    /^true true\n$/,
    /^(there is room for more\n)+1\n(there is room for more\n)*power-off running true\n$/,
    /^Checksums of what the guest writes to it \{ base: 3489660928, polynomial: 'crc32c' \} 0 0 running\n$/,
    /^connected\n$/,
    /^\{ name: 'virtio-late', slot: 3, state: 'there' \}\nasked 1\ngone\n$/,
  ],
};

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-documents-'));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'bzImage'), smallKernel(shell));
  cpSync(join(ROOT, 'examples/plug-ins'), join(folder, 'devices'), { recursive: true });
  writeFileSync(join(folder, 'partner.js'), "process.on('message', () => {});\n");
  writeFileSync(join(folder, 'initrd.gz'), 'nobody looks at it');
});
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(Object.entries(DOCUMENTS))('%s', (document, printed) => {
  const blocks = Array.from(readFileSync(join(ROOT, document), 'utf8').matchAll(/^```ts\n([\s\S]*?)^```/gm), ([, block]) => block!);

  it('has as many examples as are known', () => {
    expect(blocks).toHaveLength(printed.length);
  });

  it.each(printed.map((text, i) => [i + 1, text] as const))('example %i does what it says', async (number, text) => {
    const args = ['--conditions=vm-source', '--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '--eval', blocks[number - 1]!];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd: folder });
    expect(stdout.replaceAll('\r', '')).toMatch(text);
    expect(stderr).toBe('');
  });
});
