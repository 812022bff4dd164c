import { chooseAction, listActions } from './action-choice.ts';
import { formatByteSize, parseByteSize } from './byte-size.ts';
import type { Command } from './command.ts';
import { checkImage, compactImage, convertImage, createImage, mergeImage, repairImage, resizeImage } from './disk-actions.ts';
import { DISK_SYNTAX, describeDisk, KEY_SYNTAX } from './disk-descriptor.ts';
import { exportDisk } from './disk-export.ts';
import { openDescribedDisk } from './disk-opener.ts';
import { manageHeader, manageKeys } from './disk-keys.ts';
import { decryptDisk, encryptDisk, rekeyDisk } from './disk-reencrypt.ts';
import { describeImage, formatFacts, formatMap, formatSlots } from './disk-report.ts';
import { describedOperand, DISK_OPTIONS, type DiskValues } from './disk-settings.ts';
import { EXIT_BROKEN, EXIT_FINE } from './exit-code.ts';
import { parseArguments } from './option-parser.ts';
import { type StopSignal, untilStopped } from './stop-signal.ts';
import { UsageError } from './usage-error.ts';

type OptionName = keyof typeof DISK_OPTIONS;
interface Action {
  /** What the operands are, in words. */
  readonly operands: readonly string[];
  readonly options: readonly OptionName[];
  run(operands: readonly string[], values: DiskValues, signal: StopSignal): Promise<number>;
}

const KEYS = ['key', 'key-file', 'key-fd'] as const;
const NEW_KEYS = ['new-key', 'new-key-file', 'new-key-fd'] as const;
const COST = ['kdf', 'kdf-memory', 'iterations'] as const;
const NEW_DISK = ['size', 'type', 'encrypt', 'luks', 'cipher', 'sector-bytes', 'key-bits', 'integrity', ...COST, 'compatibility'] as const;

const ACTIONS: Readonly<Record<string, Action>> = {
  create: {
    operands: ['DISK'],
    options: [...NEW_DISK, ...KEYS, 'parent', 'json'],
    run: async ([disk = ''], values) => {
      const descriptor = describeDisk(disk);
      await createImage(descriptor, values);
      return tell(values, await describeImage(descriptor), formatFacts);
    },
  },
  info: {
    operands: ['DISK'],
    options: [...KEYS, 'json'],
    run: async ([disk = ''], values) => tell(values, await describeImage(describedOperand(disk, values)), formatFacts),
  },
  check: { operands: ['DISK'], options: [...KEYS, 'json'], run: async ([disk = ''], values) => report(values, await checkImage(describedOperand(disk, values))) },
  repair: { operands: ['DISK'], options: [...KEYS, 'drop-blocks', 'json'], run: async ([disk = ''], values) => report(values, await repairImage(describedOperand(disk, values), values['drop-blocks'] === true)) },
  convert: {
    operands: ['FROM', 'TO'],
    options: [...NEW_DISK, ...KEYS, ...NEW_KEYS, 'json'],
    run: async ([from = '', to = ''], values, signal) => {
      const target = describeDisk(to);
      await convertImage(describedOperand(from, values), target, values, signal);
      return tell(values, await describeImage(target), formatFacts);
    },
  },
  resize: {
    operands: ['DISK', 'SIZE'],
    options: [...KEYS, 'shrink', 'json'],
    run: async ([disk = '', size = ''], values) => {
      const bytes = await resizeImage(describedOperand(disk, values), sizeOf(size), values.shrink === true);
      return tell(values, { bytes }, () => `${formatByteSize(bytes)} (${bytes} bytes); partitions and file systems are the guest's to enlarge`);
    },
  },
  compact: { operands: ['DISK'], options: [...KEYS, 'json'], run: async ([disk = ''], values, signal) => told(values, await compactImage(describedOperand(disk, values), signal)) },
  merge: { operands: ['CHILD'], options: [...KEYS, 'delete', 'json'], run: async ([child = ''], values, signal) => told(values, await mergeImage(describedOperand(child, values), values.delete === true, signal)) },
  key: {
    operands: ['add|remove|change|list', 'DISK'],
    options: [...KEYS, ...NEW_KEYS, ...COST, 'slot', 'even-last', 'json'],
    run: async ([what = '', disk = ''], values) => {
      const { done, slots } = await manageKeys(what, describedOperand(disk, values), values);
      return tell(values, { done, slots }, () => [...(done === '' ? [] : [done]), formatSlots(slots)].join('\n'));
    },
  },
  header: {
    operands: ['backup|restore', 'DISK', 'FILE'],
    options: ['force', 'json'],
    run: async ([what = '', disk = '', file = ''], values) => told(values, await manageHeader(what, describeDisk(disk), file, values)),
  },
  encrypt: {
    operands: ['DISK'],
    options: [...KEYS, ...COST, 'cipher', 'key-bits', 'sector-bytes', 'json'],
    run: async ([disk = ''], values, signal) => told(values, await encryptDisk(describedOperand(disk, values), values, signal)),
  },
  decrypt: { operands: ['DISK'], options: [...KEYS, 'json'], run: async ([disk = ''], values, signal) => told(values, await decryptDisk(describedOperand(disk, values), signal)) },
  rekey: {
    operands: ['DISK'],
    options: [...KEYS, ...NEW_KEYS, ...COST, 'cipher', 'key-bits', 'sector-bytes', 'json'],
    run: async ([disk = ''], values, signal) => told(values, await rekeyDisk(describedOperand(disk, values), values, signal)),
  },
  map: {
    operands: ['DISK'],
    options: [...KEYS, 'json'],
    run: async ([name = ''], values) => {
      const disk = await openDescribedDisk(describedOperand(name, values), { writable: false });
      try {
        return tell(values, await disk.extents(0, disk.bytes), formatMap);
      } finally {
        await disk.close();
      }
    },
  },
  export: {
    operands: ['DISK'],
    options: [...KEYS, 'socket', 'port', 'json'],
    run: async ([name = ''], values, signal) => {
      const { socket, port } = values;
      if ((socket === undefined) === (port === undefined)) throw new UsageError('export needs --socket PATH or --port N');
      const disk = await openDescribedDisk(describedOperand(name, values));
      try {
        await exportDisk(disk, '', { ...(socket === undefined ? {} : { socket }), ...(port === undefined ? {} : { port }) }, signal, ({ uri, port: bound }) => {
          tell(values, { uri, port: bound, bytes: disk.bytes, writable: disk.writable, encryption: disk.encryption }, () => uri);
        });
      } finally {
        await disk.close();
      }
      return EXIT_FINE;
    },
  },
};

export const diskCommand: Command = {
  name: 'disk',
  operands: Object.keys(ACTIONS).join('|'),
  summary: 'make, look into, mend, change and serve disk images, encrypted ones too',
  options: DISK_OPTIONS,
  notes: [
    listActions('disk', ACTIONS),
    `A DISK is the name of a file, or ${DISK_SYNTAX}.\n`
      + 'Names that end in .vhd are VHD files, all others raw. A disk that turns out to be encrypted asks the terminal for its passphrase.',
    `A KEY is ${KEY_SYNTAX}.\n`
      + 'A service is described by a file with { "url": ..., "key": ..., "tokenFile": ... }. It and a token wrap a random secret, which is then\n'
      + 'kept in the LUKS2 header; the key that wraps stays where it is.',
    'Sizes are those that the guest sees. A new file gets its name when it is whole. Ctrl-C leaves every disk so that it opens; compact,\n'
      + 'merge, repair, encrypt, decrypt and rekey can then be run again. export ends with Ctrl-C, after it has stored everything.',
    'exit codes: 0 done, 1 check found errors or repair left some, 2 misuse or a disk that cannot be used, 128 and more a signal.',
  ],
  examples: [
    'vm disk create disk.vhd --size 8G --encrypt payload',
    'vm disk info disk.vhd --json',
    'vm disk convert old.vhd new.vhd --encrypt payload --new-key-file secret.key',
    'vm disk export disk.vhd --socket /run/user/1000/disk.sock',
    'vm disk create over.vhd --parent disk.vhd',
    'vm disk compact disk.vhd,key=prompt',
    'vm disk key add disk.vhd --new-key-file second.key',
    'vm disk header backup disk.vhd disk.header',
    'vm disk encrypt disk.img --key-file secret.key',
  ],
  run: async (args) => {
    const { values, operands } = parseArguments(DISK_OPTIONS, args);
    const { action, operands: rest } = chooseAction(ACTIONS, operands, values);
    return untilStopped(async (signal) => {
      try {
        return await action.run(rest, values, signal);
      } catch (error) {
        if (signal.exitCode === null) throw error;
        console.error(`vm disk: ${(error as Error).message}`);
        return signal.exitCode;
      }
    });
  },
};

function tell<T>(values: DiskValues, facts: T, format: (facts: T) => string): number {
  console.log(values.json === true ? JSON.stringify(facts, null, 2) : format(facts));
  return EXIT_FINE;
}

const told = (values: DiskValues, text: string): number => tell(values, { done: text }, () => text);

function report(values: DiskValues, found: Awaited<ReturnType<typeof checkImage>>): number {
  tell(values, found, ({ clean, findings }) => [...findings.map(({ severity, text, repair }) => `${severity}: ${text}${repair === 'lossless' ? ' (repair mends it)' : repair === 'drops-block' ? ' (repair --drop-blocks gives the block up)' : ''}`), clean ? 'no errors' : 'errors'].join('\n'));
  return found.clean ? EXIT_FINE : EXIT_BROKEN;
}

function sizeOf(text: string): number {
  try {
    return parseByteSize(text);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}
