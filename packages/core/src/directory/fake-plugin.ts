import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DESCRIPTION_FILE, digestOf } from './scan.ts';

/** For tests: writes a plug-in with correct digests, and what `changes` makes of its description. Returns its folder. */
export function writeFakePlugin(folder: string, files: Readonly<Record<string, string>>, changes: Readonly<Record<string, unknown>> = {}): string {
  const digests = Object.fromEntries(Object.entries(files).map(([file, text]) => [file, digestOf(new TextEncoder().encode(text))]));
  const description = { abi: 1, id: 'example.lamp', version: '1.0.0', text: 'A lamp.', entry: 'lamp.js', export: 'lamp', state: 0, needs: ['pio'], files: digests, ...changes };
  for (const [file, text] of Object.entries({ ...files, [DESCRIPTION_FILE]: JSON.stringify(description) })) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  return folder;
}

/** For tests: the code of a device of one port, with `manifest` members of its own. */
export function fakeLamp(changes: Readonly<Record<string, unknown>> = {}): string {
  const manifest = { abi: 1, id: 'example.lamp', version: '1.0.0', state: 0, needs: ['pio'], ...changes };
  return `export const lamp = {
  manifest: ${JSON.stringify(manifest)},
  create: (ctx, config) => {
    ctx.pio.claim('switch', 1, { read: () => config.answer ?? 7, write: () => { throw new Error('broken') } }, [1]).map(config.base ?? 0x80);
    return {};
  },
};`;
}
