import type { Command } from './command.ts';
import { formatByteSize } from './byte-size.ts';
import { EXIT_FINE } from './exit-code.ts';
import { defaultCacheFolder } from './cache-folder.ts';
import { GuestCache } from './guest-cache.ts';
import { fetchGuest } from './guest-fetch.ts';
import { findNearest } from './nearest-word.ts';
import { choice, flag, parseArguments, text } from './option-parser.ts';
import { createProgress } from './progress.ts';
import { UsageError } from './usage-error.ts';

const OPTIONS = {
  arch: choice(['amd64', 'i386'], "Debian's name of the architecture; default: as the name of the kernel says"),
  cache: text('DIR', 'where guests are kept; default: $VM_CACHE, $XDG_CACHE_HOME/vm or ~/.cache/vm'),
  refresh: flag('fetch again, though the cache has it'),
};
const ACTIONS = ['fetch', 'list'];

export const guestCommand: Command = {
  name: 'guest',
  operands: 'fetch NAME | list',
  summary: 'fetch a guest by the name of its Debian package, or list those in the cache',
  options: OPTIONS,
  notes: [
    'A guest is a kernel and an initial RAM file system with busybox. fetch prints the paths of the two. It uses apt-get with a\n'
      + "state of its own: the host's lists, packages and architectures stay as they are, and no root is needed.",
  ],
  examples: ['vm guest fetch linux-image-cloud-amd64', 'vm guest fetch linux-image-686-pae', 'vm guest list'],
  run: async (args) => {
    const { values, operands } = parseArguments(OPTIONS, args);
    const [action, name, ...more] = operands;
    const cache = new GuestCache(values.cache ?? defaultCacheFolder());
    if (action === 'list' && name === undefined) return listGuests(cache);
    if (action !== 'fetch') {
      const nearest = action === undefined ? null : findNearest(action, ACTIONS);
      throw new UsageError(`expected fetch NAME or list${action === undefined ? '' : `, got ${operands.join(' ')}`}${nearest === null || nearest === action ? '' : `; did you mean ${nearest}?`}`);
    }
    if (name === undefined) throw new UsageError('fetch needs the name of a package, for example linux-image-cloud-amd64');
    if (more.length > 0) throw new UsageError(`fetch takes one name, got ${operands.slice(1).join(' ')}`);
    if (!/^[a-z0-9][a-z0-9.+-]+$/.test(name)) throw new UsageError(`${JSON.stringify(name)} is no name of a Debian package`);
    const guest = await fetchGuest(cache, name, createProgress(process.stderr), {
      ...(values.arch === undefined ? {} : { architecture: values.arch }),
      refresh: values.refresh === true,
    });
    console.log(`kernel ${guest.kernel}\ninitrd ${guest.initrd}`);
    return EXIT_FINE;
  },
};

function listGuests(cache: GuestCache): number {
  for (const { name, architecture, packages, kernel, initrd } of cache.list()) {
    console.log(`${name} ${architecture}  ${packages[0]?.name ?? ''} ${packages[0]?.version ?? ''}  ${formatByteSize(kernel.bytes + initrd.bytes)}`);
  }
  return EXIT_FINE;
}
