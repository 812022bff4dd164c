import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Writes the files of a plug-in to a folder of their own, beside which nothing else lies. Whoever called removes it. */
export function writePrivateCopy(files: ReadonlyMap<string, Uint8Array>): string {
  const copy = mkdtempSync(join(tmpdir(), 'vm-device-'));
  if (!files.has('package.json')) writeFileSync(join(copy, 'package.json'), '{"type":"module"}');
  for (const [file, bytes] of files) {
    const path = join(copy, ...file.split('/'));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
  return copy;
}
