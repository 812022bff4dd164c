import { basename } from 'node:path';

/** A module of the kernel, as a file that is not compressed. */
export interface KernelModule {
  readonly name: string; // button.ko
  readonly bytes: Uint8Array;
}

/** In an order in which they can be loaded: each after those it depends on, as far as they are among them. */
export function orderModules(modules: readonly KernelModule[]): readonly KernelModule[] {
  const byName = new Map(modules.map((module) => [moduleName(module.name), module]));
  const ordered = new Set<KernelModule>();
  const begun = new Set<string>();
  const add = (name: string): void => {
    const module = byName.get(name);
    if (module === undefined || begun.has(name)) return;
    begun.add(name);
    for (const other of dependenciesOf(module.bytes)) add(other);
    ordered.add(module);
  };
  for (const name of Array.from(byName.keys()).toSorted()) add(name);
  return [...ordered];
}

/** What a module says in its section .modinfo: strings that end with a zero, one of them `depends=a,b`, with dashes where files have them. */
function dependenciesOf(bytes: Uint8Array): readonly string[] {
  const mark = new TextEncoder().encode('\0depends=');
  const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(mark);
  if (at < 0) return [];
  const begin = at + mark.length;
  return new TextDecoder('latin1').decode(bytes.subarray(begin, bytes.indexOf(0, begin))).split(',').filter((name) => name !== '').map(moduleName);
}

/** Files say virtio-rng.ko, other modules virtio_rng or, of dm-mod, the name of the file. */
function moduleName(file: string): string {
  return basename(file, '.ko').replaceAll('-', '_');
}
