import { createInterface } from 'node:readline/promises';
import { UsageError } from './usage-error.ts';

/** What each capability lets a device do, in words for whoever gives it. */
const MEANINGS: Readonly<Record<string, string>> = {
  pio: 'answer at its ports', mmio: 'answer at its ranges of memory', lines: 'raise its interrupt lines', controller: 'be an interrupt controller', msi: 'send any interrupt message',
  clock: 'know machine time and set timers', dma: 'read and write all of the guest\'s memory', host: 'use the disks that it names',
  pci: 'be on the PCI bus, with windows where the guest puts them, interrupts and messages',
};

type Ask = (question: string) => Promise<string>;

/** The capabilities of `--grant`: `all`, or names with commas between. Throws RangeError. */
export function parseGrant(text: string): readonly string[] {
  const words = text.split(',').filter((word) => word !== '');
  const unknown = words.find((word) => word !== 'all' && !Object.hasOwn(MEANINGS, word));
  if (unknown !== undefined || words.length === 0) throw new RangeError(`expected all, or some of ${Object.keys(MEANINGS).join(',')}, got ${JSON.stringify(text)}`);
  return words;
}

/** Asks whether a plug-in may have what it needs. Throws UsageError where that is refused, or there is nobody to ask. */
export async function askForGrant(plugin: string, needs: readonly string[], granted: readonly string[], ask: Ask | null = findTerminal()): Promise<void> {
  const open = granted.includes('all') ? [] : needs.filter((need) => !granted.includes(need));
  if (open.length === 0) return;
  const what = open.map((need) => `  ${need}: ${MEANINGS[need] ?? 'unknown'}`).join('\n');
  if (ask === null) throw new UsageError(`${plugin} wants capabilities that nobody has agreed to; --grant ${open.join(',')} does\n${what}`);
  const answer = await ask(`${plugin} wants to\n${what}\nMay it? [y/N] `);
  if (!/^y(es)?$/i.test(answer.trim())) throw new UsageError(`${plugin}: not agreed to`);
}

/** Null: nobody is there to answer. */
function findTerminal(): Ask | null {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return null;
  return async (question) => {
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    try {
      return await terminal.question(question);
    } finally {
      terminal.close();
    }
  };
}
