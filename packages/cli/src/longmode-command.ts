import { writeFileSync } from 'node:fs';
import { buildBootDisk, buildMonitor, formatListing, type LegacyGuest, type MonitorImage, type MonitorOptions, SwitchRefusal } from '@vm/longmode-switch';
import { chooseAction, listActions } from './action-choice.ts';
import type { Command } from './command.ts';
import { EXIT_FINE } from './exit-code.ts';
import { explainWriteError, readNamedFile } from './host-file.ts';
import { choice, flag, type OptionValues, parseArguments, text, value } from './option-parser.ts';
import { UsageError } from './usage-error.ts';

const OPTIONS = {
  guest: text('FILE', 'what the legacy machine runs: a program for 32-bit protected mode or for real mode, or a disk that a PC boots'),
  kind: choice(['auto', 'flat', 'real', 'disk'], 'what the guest is; auto (default): a disk if it has whole sectors and the mark of a boot sector, else flat; real: a program for true real mode'),
  keys: text('TEXT', 'what is typed to a guest on a disk when it asks; \\n is Enter'),
  output: text('FILE', 'the image for multiboot loaders: vm boot --multiboot, GRUB, qemu -kernel; -o for short'),
  disk: text('FILE', 'the same as a disk that the BIOS of a PC boots'),
  listing: text('FILE', 'all code of the monitor and of the switch, disassembled'),
  excursion: choice(['always', 'avoid', 'batch'], 'leave long mode for everything, not for ring 3 in protected mode (default), or with several requests at once'),
  paging: choice(['32-bit', 'pae', 'unpaged'], 'page tables of the legacy side, or none; default 32-bit'),
  order: choice(['claimed', 'manual'], 'what comes first, the mode bit (default) or the page table, as in the manual'),
  hz: value('N', "ticks a second of the 64-bit side's timer, 19 to 10000; default 1000", (given) => within(given, 19, 10_000)),
  watchdog: value('N', 'ticks after which a guest that asks for nothing is stopped; default 2000', (given) => within(given, 1, 2 ** 31 - 1)),
  statistics: flag('the monitor tells at its end how often what happened'),
};
type Values = OptionValues<typeof OPTIONS>;

const ACTIONS = { build: { operands: [], options: Object.keys(OPTIONS) } } as const;
const SECTOR = 512;

export const longmodeCommand: Command = {
  name: 'longmode',
  operands: 'build',
  summary: 'make an image of a 64-bit monitor that runs a legacy guest by leaving long mode',
  options: OPTIONS,
  notes: [
    listActions('longmode', { build: { operands: [], options: [] } }),
    'The image runs on a PC with 16 MiB, or on an emulator of one, and talks on the first serial port. What a guest may do is in the\n'
      + "package's README. At its end the monitor writes to port 0xf4, which ends vm and qemu with -device isa-debug-exit.",
  ],
  examples: ['vm longmode build --guest kernel.bin --output monitor.img', 'vm longmode build --guest floppy.img --disk monitor.disk --excursion batch --statistics'],
  run: async (args) => {
    const { values, operands } = parseArguments(OPTIONS, args.map((arg) => (arg === '-o' ? '--output' : arg)));
    chooseAction(ACTIONS, operands, values);
    if (values.guest === undefined) throw new UsageError('--guest FILE is missing');
    if (values.output === undefined && values.disk === undefined && values.listing === undefined) throw new UsageError('-o FILE is missing, or --disk FILE, or --listing FILE');
    const image = build(optionsOf(values, values.guest));
    if (values.output !== undefined) write('--output', values.output, image.bytes);
    if (values.disk !== undefined) write('--disk', values.disk, buildBootDisk(image.bytes, image.loadAddress));
    if (values.listing !== undefined) write('--listing', values.listing, new TextEncoder().encode(formatListing(image.parts)));
    return EXIT_FINE;
  },
};

function optionsOf(values: Values, path: string): MonitorOptions {
  const { kind = 'auto', excursion, paging, order, hz, watchdog, statistics } = values;
  const bytes = readNamedFile('--guest', path);
  const found = kind === 'auto' ? (isDisk(bytes) ? 'disk' : 'flat') : kind;
  if (found !== 'disk' && values.keys !== undefined) throw new UsageError('--keys is for a guest on a disk');
  const guest: LegacyGuest = found === 'disk' ? { kind: found, bytes, keys: (values.keys ?? '').replaceAll(/\\n|\n/g, '\r') } : { kind: found, bytes };
  return {
    guest, ...(excursion === undefined ? {} : { excursion }), ...(paging === undefined ? {} : { paging }), ...(order === undefined ? {} : { order }), ...(hz === undefined ? {} : { hz }),
    ...(watchdog === undefined ? {} : { watchdogTicks: watchdog }), ...(statistics === undefined ? {} : { statistics }),
  };
}

function isDisk(bytes: Uint8Array): boolean {
  return bytes.length >= SECTOR && bytes.length % SECTOR === 0 && bytes[SECTOR - 2] === 0x55 && bytes[SECTOR - 1] === 0xaa;
}

function build(options: MonitorOptions): MonitorImage {
  try {
    return buildMonitor(options);
  } catch (error) {
    if (error instanceof SwitchRefusal) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

function write(option: string, path: string, bytes: Uint8Array): void {
  try {
    writeFileSync(path, bytes);
  } catch (error) {
    throw new UsageError(`${option} ${path}: ${explainWriteError(error)}`, { cause: error });
  }
}

function within(given: string, least: number, most: number): number {
  const number = Number(given);
  if (!Number.isInteger(number) || number < least || number > most) throw new RangeError(`expected a number from ${least} to ${most}, got ${JSON.stringify(given)}`);
  return number;
}
