import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { ENLIGHTENMENTS, EOI_POLICIES, type MultibootModule } from '@vm/pc';
import { COMPOUND_POLICIES, HANDOFFS } from '@vm/trap-compound';
import { CPU_MODEL_NAMES, DEFAULT_CPU_MODEL, defaultTranslatorMode, SHADOW_MODES, TRANSLATOR_MODES } from '@vm/vcpu-wasm';
import { type BareProgram, DEFAULT_CHAR_PORT, DEFAULT_PASS_BYTE, DEFAULT_POST_PORTS } from './bare-program.ts';
import { APIC_KINDS, APPEND, type BoardSettings, KVM_CHIPS, MOST_CPUS, MOST_SEED } from './boot-board.ts';
import { runBootSession } from './boot-session.ts';
import { parseByteSize } from './byte-size.ts';
import type { Command } from './command.ts';
import { DISK_SYNTAX, type DiskDescriptor, parseDiskDescriptor, parseKeyOrigin } from './disk-descriptor.ts';
import { ENGINE_CHOICES, withEngine } from './engine-choice.ts';
import { ESCAPE_HELP } from './escape-keys.ts';
import { readNamedFile } from './host-file.ts';
import { checkInitrd } from './initrd-check.ts';
import { basisOf, findDifference, type InputLog, parseInputLog } from './input-log.ts';
import { withMachineDisks } from './machine-disks.ts';
import { choice, flag, list, type OptionValues, parseArguments, text, value } from './option-parser.ts';
import { readRestored } from './restored-machine.ts';
import { SESSION_EXIT_CODES, SESSION_OPTIONS, sessionOf } from './session-options.ts';
import { PAGE_CODEC } from './snapshot-file.ts';
import { processStreams } from './terminal.ts';
import { UsageError } from './usage-error.ts';

const MiB = 2 ** 20;

const ENTRIES = { auto: 'auto', 32: 32, 64: 64, pvh: 'pvh' } as const;

const OPTIONS = {
  kernel: text('FILE', 'the Linux kernel, a bzImage such as /boot/vmlinuz-*, or an ELF file'),
  entry: choice(['auto', '32', '64', 'pvh'], 'how the kernel is entered: auto (default), by the 32- or 64-bit Linux entry, or by PVH'),
  initrd: text('FILE', 'the initial RAM file system'),
  multiboot: text('FILE', 'in place of a kernel: a multiboot image, version 1, such as a bare-metal test program'),
  module: list('FILE', 'a module for the multiboot image; "FILE TEXT" gives it a command line'),
  rom: text('FILE', 'in place of a kernel: a ROM of 4 KiB to 8 MiB that is started at the reset vector'),
  append: text('TEXT', "the command line of the kernel; default: console=ttyS0, or console=hvc0 with --console virtio. A multiboot image gets its file's name before it"),
  'post-port': value('PORT', `for a ROM or a multiboot image: the port of bytes of progress; default: ${DEFAULT_POST_PORTS.map(formatPort).join(' and ')}`, parsePort),
  pass: value('BYTE', `the byte of progress with which a final HLT means that all went well; default: ${formatPort(DEFAULT_PASS_BYTE)}`, parseByte),
  'char-port': value('PORT', `for a ROM or a multiboot image: a port of text, beside the serial port, or none; default: ${formatPort(DEFAULT_CHAR_PORT)} for a ROM`, (given) => (given === 'none' ? null : parsePort(given))),
  'rom-shadow': flag('the ROM lets itself be stored to below 1 MiB, as the shadow RAM of a PC does'),
  engine: choice(ENGINE_CHOICES, "what runs the guest's code: the software engine (wasm, the default), the host's KVM (kvm), or KVM where a probe finds that it runs all\nguests and has all of the processor (auto), which says what it took and why"),
  'kvm-threads': flag('with KVM: each processor in a thread of its own, where they run at the same time; default: in turn in one. Not with --compound'),
  'kvm-chip': choice(KVM_CHIPS, "with KVM: who has the local APICs while the guest runs, their models (model, the default) or the host's kernel (kernel), where timers, messages\nbetween processors and HLT are no exits. Several processors need --kvm-threads then; not with --compound or --eoi selective"),
  translator: choice(TRANSLATOR_MODES, `which guest code becomes WebAssembly: none, all, or what is hot; default: ${defaultTranslatorMode()}`),
  shadow: choice(SHADOW_MODES, 'what keeps translations of address spaces that are not in use; default: off, nothing does'),
  compound: choice(COMPOUND_POLICIES, 'whether nearby instructions that would trap too are finished with one that traps: at every trap (fixed), where it has paid\n'
    + '(adaptive), never (off, the default)'),
  handoff: choice(HANDOFFS, 'how accesses of such a block reach a device in a worker: one by one (each), or as one list (list, the default with --compound)'),
  cpus: value('N', `processors, 1 to ${MOST_CPUS}, which run in turn, or at the same time with --kvm-threads; default: 1`, parseCpus),
  enlighten: choice(ENLIGHTENMENTS, 'whom the machine presents itself as to guests that ask for a hypervisor: nobody (none, the default), KVM, or Hyper-V with clocks\n'
    + 'and timers or, with hyperv-full, all of its synthetic interrupt controller and calls'),
  eoi: choice(EOI_POLICIES, 'what guests are offered to end interrupts without an exit, each with those before it: nothing (explicit), ends by themselves (auto),\n'
    + 'a mark in memory (lazy, the default), the end of a chosen vector (selective). Without --enlighten only the last one makes a difference'),
  apic: choice(APIC_KINDS, 'interrupt controllers beside the pair of 8259: none, APICs with registers in memory (xapic), or as model-specific registers too (x2apic,\nthe default with processors that have it)'),
  'cpu-model': choice(CPU_MODEL_NAMES, `the processor that the guest sees; default: ${DEFAULT_CPU_MODEL}`),
  disk: {
    hint: 'DISK',
    repeated: true,
    summary: 'a disk of the machine, a file with options behind it: x.vhd,key=file:x.key,bus=ata',
    parse: (given: string): readonly DiskDescriptor[] => [parseDiskDescriptor(given)],
  },
  rng: flag('a virtio source of random bytes: those of the host, or with --clock virtual those that begin with --seed'),
  console: choice(['serial', 'virtio'], 'where the guest gets what is typed: its serial port (default), or a virtio console, hvc0 in Linux. What comes from either is shown'),
  hpet: flag('high precision event timers, which Linux uses with clocksource=hpet'),
  memory: value('SIZE', 'RAM, for example 512M or 2G; default: 512M', parseByteSize),
  clock: choice(['host', 'virtual'], 'where time comes from: the host (default), or the instructions that ran, the same on every run'),
  seed: value('N', "where the processor's random numbers begin, 0 to 4294967295; default: 0 with --clock virtual, else another one each time", parseSeed),
  record: text('FILE', 'with --clock virtual: write down every input with the instruction at which it came'),
  replay: text('FILE', 'with --clock virtual: the recorded inputs again, at the same instructions'),
  restore: text('FILE', 'go on with a saved machine in place of booting; memory, clock, processor and disks are those it had'),
  'restore-key': value('KEY', 'with --restore: opens an encrypted one; as for vm disk; default: the terminal is asked', parseKeyOrigin),
  fork: flag('with --restore: another machine than the saved one, with random numbers and an identity of its own'),
  ...SESSION_OPTIONS,
};

export const bootCommand: Command = {
  name: 'boot',
  operands: '--kernel FILE | --multiboot FILE | --rom FILE | --restore FILE',
  summary: 'boot a Linux kernel, a multiboot image or a ROM, with the serial console on the terminal',
  options: OPTIONS,
  notes: [
    'Where there is no kernel at hand, vm guest fetch linux-image-cloud-amd64 gets one, with an initial RAM file system,\n'
      + 'and prints the paths of both.',
    'With a terminal the keys go to the guest, except:\n' + ESCAPE_HELP.map((line) => `  ${line}`).join('\n'),
    'Input that is no terminal is typed once the guest has opened its port; with --clock virtual it is read to its end first.',
    'The kernel\'s command line also gets vm.term=TERM, vm.rows=N and vm.cols=N of the terminal, or vm.term=dumb without one: kernels\n'
      + 'ignore that, and the init of vm guest fetch sets its terminal up by it.',
    `DISK is ${DISK_SYNTAX.replace('[,cipher', '\n[,cipher')}[,bus=virtio|ata].\nIn Linux the first is /dev/vda, or /dev/sda with bus=ata, which has room for four. Unknown passphrases are asked for.`,
    SESSION_EXIT_CODES,
    'With --restore nothing is booted, and --kernel is only needed by a guest that resets the machine. It is refused where the machine would\n'
      + 'be another one, or where a disk has changed since it was saved. The clock of the guest goes on where it was; its real-time clock is\n'
      + "put forward by what has passed, with --clock host. With --fork the guest is not told that there are two of it now.",
    'Multiboot images and ROMs have the devices of test programs (ports 0xf4, 0xe0, 0x2000, memory at 0xff000000 and others): what they\n'
      + 'write to port 0xf4 is the exit code, 255 if it is larger. A HLT with interrupts off ends them too: 0 after the byte of --pass, else 3.',
  ],
  examples: [
    'vm boot --kernel /boot/vmlinuz-6.1.0 --initrd initrd.gz --append "console=ttyS0 quiet"',
    'vm boot --kernel bzImage --initrd initrd.gz --disk root.vhd,key=file:root.key --disk scratch.img,bus=ata',
    'vm boot --kernel bzImage --timeout 60s --exit-on "login:" --stats',
    "echo 'uname -a; poweroff -f' | vm boot --kernel bzImage --initrd initrd.gz",
    'vm boot --kernel bzImage --initrd initrd.gz --clock virtual --record session.txt',
    'vm boot --kernel bzImage --initrd initrd.gz --clock virtual --replay session.txt',
    'vm boot --multiboot test.flat --module environment.txt --append "fast verbose" --timeout 60s',
    'vm boot --rom test.bin --post-port 0x190 --char-port 0xe9 --cpu-model 486',
  ],
  run: async (args) => {
    const { values, operands } = parseArguments(OPTIONS, args);
    if (operands.length > 0) throw new UsageError(`unexpected ${JSON.stringify(operands[0])}; values follow an option, as in --kernel FILE`);
    checkCombination(values);
    const session = sessionOf(values);
    const restored = values.restore === undefined ? null : await readRestored(values.restore, values['restore-key']);
    const disks = values.disk ?? restored?.origin.disks ?? [];
    const cpuModel = values['cpu-model'] ?? restored?.origin.cpuModel ?? null;
    const asked: BoardSettings = {
      ...imagesOf(values),
      ...(restored === null ? {} : { restore: { bytes: restored.bytes, codec: PAGE_CODEC, fork: values.fork === true } }),
      ...(restored?.origin.multiboot === true && values.kernel === undefined ? { entry: 'multiboot' as const } : {}),
      ...(cpuModel === null ? {} : { cpuModel }),
      ...(restored?.origin.cpuWithout === undefined ? {} : { cpuWithout: restored.origin.cpuWithout }),
      ...(values['kvm-threads'] === true ? { kvmThreads: true } : {}),
      ...(values['kvm-chip'] === undefined ? {} : { kvmChip: values['kvm-chip'] }),
      ...(values.translator === undefined ? {} : { translator: values.translator }),
      ...(values.shadow === undefined ? {} : { shadow: values.shadow }),
      ...(values.compound === undefined ? {} : { compound: values.compound }), ...(values.handoff === undefined ? {} : { handoff: values.handoff }),
      memoryBytes: values.memory ?? restored?.origin.memoryBytes ?? 512 * MiB,
      ...((values.cpus ?? restored?.origin.cpus ?? 1) === 1 ? {} : { cpus: values.cpus ?? restored!.origin.cpus }),
      ...apicOf(values.apic ?? restored?.origin.apic),
      ...enlightenmentOf(values.enlighten ?? restored?.origin.enlighten, values.eoi ?? restored?.origin.eoi),
      clock: values.clock ?? restored?.origin.clock ?? 'host',
      ...(values.seed === undefined ? {} : { seed: values.seed }),
      ...(values.hpet === true || restored?.origin.hpet === true ? { hpet: true } : {}),
      console: values.console ?? restored?.origin.console ?? 'serial',
      ...(values.rng === true || restored?.origin.rng === true ? { rng: true } : {}),
      onReset: values['no-reboot'] === true ? 'end' : 'boot',
    };
    const settings = withEngine(asked, values.engine, session.traceHot);
    const replay = values.replay === undefined ? null : parseInputLog(new TextDecoder().decode(readNamedFile('--replay', values.replay)), values.replay);
    if (replay !== null) checkSameRun(settings, replay);
    if (settings.initrd !== undefined) await checkInitrd(values.initrd!, settings.initrd);
    const { memoryBytes, clock } = settings;
    const origin = { memoryBytes, cpus: settings.cpus ?? 1, ...apicOf(settings.apic), ...enlightenmentOf(settings.enlighten, settings.eoi), clock, cpuModel, ...(settings.cpuWithout === undefined ? {} : { cpuWithout: settings.cpuWithout }), disks, multiboot: settings.entry === 'multiboot', rng: settings.rng === true, hpet: settings.hpet === true, console: settings.console ?? 'serial' };
    return withMachineDisks(disks, (opened) => runBootSession(
      {
        ...settings,
        ...(opened.length === 0 ? {} : { disks: opened }),
        origin,
        ...(restored === null || values.fork === true ? {} : { instance: restored.origin.instance }),
        ...session,
        ...(values.record === undefined ? {} : { record: values.record }),
        ...(replay === null ? {} : { replay }),
        ...(values.multiboot === undefined && values.rom === undefined ? {} : { bare: bareProgramOf(values) }),
      },
      processStreams(),
    ));
  },
};

function apicOf(apic: BoardSettings['apic']): Pick<BoardSettings, 'apic'> {
  return apic === undefined ? {} : { apic };
}

function enlightenmentOf(enlighten: BoardSettings['enlighten'], eoi: BoardSettings['eoi']): Pick<BoardSettings, 'enlighten' | 'eoi'> {
  return { ...(enlighten === undefined ? {} : { enlighten }), ...(eoi === undefined ? {} : { eoi }) };
}

function parsePort(given: string): number {
  return parseUpTo(0xffff, 'a port such as 0xe9', given);
}

function parseByte(given: string): number {
  return parseUpTo(0xff, 'a byte such as 0xff', given);
}

function parseUpTo(most: number, what: string, given: string): number {
  const number = /^(0x[0-9a-f]+|\d+)$/i.test(given) ? Number(given) : Infinity;
  if (number > most) throw new RangeError(`expected ${what}, got ${JSON.stringify(given)}`);
  return number;
}

function formatPort(port: number): string {
  return `0x${port.toString(16)}`;
}

function parseCpus(given: string): number {
  const count = /^\d+$/.test(given) ? Number(given) : 0;
  if (count < 1 || count > MOST_CPUS) throw new RangeError(`expected a number of processors from 1 to ${MOST_CPUS}, got ${JSON.stringify(given)}`);
  return count;
}

function parseSeed(given: string): number {
  const seed = /^(0x[0-9a-f]+|\d+)$/i.test(given) ? Number(given) : Infinity;
  if (seed > MOST_SEED) throw new RangeError(`expected a number from 0 to ${MOST_SEED}, got ${JSON.stringify(given)}`);
  return seed;
}

/** What is to run. */
function imagesOf(values: OptionValues<typeof OPTIONS>): Pick<BoardSettings, 'kernel' | 'entry' | 'initrd' | 'append' | 'modules' | 'rom' | 'romShadow'> {
  const { kernel, multiboot, rom, initrd, append } = values;
  if (rom !== undefined) return { rom: readNamedFile('--rom', rom), romShadow: values['rom-shadow'] === true };
  if (kernel === undefined && multiboot === undefined) return {}; // a saved machine has its own
  if (multiboot !== undefined) {
    const image = readNamedFile('--multiboot', multiboot);
    return { kernel: image, entry: 'multiboot', append: `${nameOf(multiboot)} ${append ?? ''}`.trim(), modules: (values.module ?? []).map(readModule) };
  }
  return {
    kernel: readNamedFile('--kernel', kernel!),
    ...(initrd === undefined ? {} : { initrd: readNamedFile('--initrd', initrd) }),
    entry: ENTRIES[values.entry ?? 'auto'],
    append: append ?? APPEND[values.console ?? 'serial'],
  };
}

/** A file, or a file and its command line. Its text begins with its name, as GRUB and QEMU have it. */
function readModule(given: string): MultibootModule {
  const space = given.indexOf(' ');
  const path = space < 0 || existsSync(given) ? given : given.slice(0, space);
  return { bytes: readNamedFile('--module', path), text: `${nameOf(path)}${given.slice(path.length)}` };
}

/** A word on a command line. */
function nameOf(path: string): string {
  return basename(path).replaceAll(/\s/g, '_');
}

function bareProgramOf(values: OptionValues<typeof OPTIONS>): BareProgram {
  const { 'post-port': postPort, 'char-port': charPort, pass } = values;
  return {
    postPorts: postPort === undefined ? DEFAULT_POST_PORTS : [postPort],
    charPort: charPort === undefined ? (values.rom === undefined ? null : DEFAULT_CHAR_PORT) : charPort,
    passByte: pass ?? DEFAULT_PASS_BYTE,
  };
}

/** Options that are for some of what can be booted. */
const BELONGS: Readonly<Partial<Record<keyof typeof OPTIONS, readonly ('kernel' | 'multiboot' | 'rom')[]>>> = {
  entry: ['kernel'], initrd: ['kernel'], 'system-map': ['kernel'], 'keep-going': ['kernel'], module: ['multiboot'], append: ['kernel', 'multiboot'],
  'post-port': ['rom', 'multiboot'], 'char-port': ['rom', 'multiboot'], pass: ['rom', 'multiboot'], 'rom-shadow': ['rom'],
};

function checkCombination(values: OptionValues<typeof OPTIONS>): void {
  const booted = (['kernel', 'multiboot', 'rom'] as const).filter((name) => values[name] !== undefined);
  if (booted.length === 0 && values.restore === undefined) throw new UsageError('--kernel FILE is missing, or --multiboot FILE or --rom FILE');
  if (values.fork === true && values.restore === undefined) throw new UsageError('--fork goes with --restore');
  for (const name of ['record', 'replay'] as const) if (values[name] !== undefined && values.restore !== undefined) throw new UsageError(`--${name} and --restore exclude each other: a record begins at power-up`);
  if (booted.length > 1) throw new UsageError(`--${booted[0]!} and --${booted[1]!} exclude each other`);
  for (const [name, owners] of Object.entries(BELONGS)) {
    if (Object.hasOwn(values, name) && (booted.length > 0 || name !== 'system-map') && (booted.length > 0 || name !== 'keep-going') && !owners.includes(booted[0]!)) throw new UsageError(`--${name} goes with --${owners.join(' or --')}`);
  }
  for (const name of ['record', 'replay'] as const) {
    if (values[name] !== undefined && values.clock !== 'virtual') throw new UsageError(`--${name} goes with --clock virtual: under the host's clock no two runs are the same`);
  }
  if (values.replay === undefined) return;
  for (const name of ['record', 'script'] as const) if (values[name] !== undefined) throw new UsageError(`--${name} and --replay exclude each other`);
}

function checkSameRun(settings: BoardSettings, replay: InputLog): void {
  const difference = findDifference(basisOf(settings, replay.basis.typing, replay.basis.terminal), replay.basis);
  if (difference !== null) throw new UsageError(`--replay: the record was made with another ${difference}`);
}
