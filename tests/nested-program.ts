// Runs inside a machine of QEMU's, whose KVM is a complete one, and tells the test outside what it saw: a line of JSON behind "@@".
import { existsSync, readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { type PageCodec, readSnapshot } from '@vm/core/snapshot';
import { bootGuest, type Guest } from '@vm/pc';
import { kvmEngine, type KvmEngineOptions, kvmLacks, type KvmVcpu, probeKvm } from '@vm/vcpu-kvm';
import { lentEngine } from '@vm/vcpu-wasm';
import { recordProgram } from '../packages/testkit/src/engine-conformance.ts';
import { ENGINE_PROGRAMS } from '../packages/testkit/src/engine-programs.ts';
import { Random } from '../packages/vcpu-wasm/src/native/random.ts';
import { type KvmMode, KvmTrapMachine } from './compound/kvm-machine.ts';
import { kvmHandlers, writeKvmProgram } from './compound/kvm-traps.ts';

/** On the command line of the kernel outside: programs and the kernel inside are run with blocks behind exits. */
const COMPOUND = 'vm.compound';
/** The kernel inside alone, with two processors in threads. */
const THREADS = 'vm.threads';
/** With the local APICs of the kernel. */
const CHIP = 'vm.chip';
const PROGRAMS = 30;
const MOST_RUNS = 10;
const FOREVER = 1e9;
const say = (what: string, value: unknown): void => console.log(`@@${JSON.stringify([what, value])}`);
const MARK = 'NESTED-GUEST-IS-UP';
const PAGE = 4096;
const ZEROS = Buffer.alloc(1 << 20);
/** Pages as they are, with what Node.js does faster. */
const CODEC: PageCodec = { name: 'plain', pack: (bytes) => bytes, unpack: (bytes) => bytes, crc32: (bytes, before) => crc32(bytes, before), isZero: (bytes) => ZEROS.compare(bytes, 0, bytes.length, 0, bytes.length) === 0 };

const probe = probeKvm();
say('probe', probe);
if (probe.usable) {
  const cpuModel = 'x86-64-v1';
  const words = readFileSync('/proc/cmdline', 'latin1');
  const plain = { cpuModel, cpuWithout: kvmLacks({ cpuModel }) } as const;
  say('processor', plain);
  const processor: KvmEngineOptions = words.includes(CHIP) ? { ...plain, interruptChip: 'kernel' } : plain;
  const isCompounded = words.includes(COMPOUND);
  if (words.includes(THREADS)) await boot({ ...processor, threads: true }, 2);
  else {
    await record(processor);
    if (isCompounded) for (const mode of ['real', 'protected', 'long'] as const) say('blocks', await compareBlocks(processor, mode));
    if (existsSync('/app/kernel')) await boot(isCompounded ? { ...processor, lent: lentEngine({ ...processor, compound: { policy: 'adaptive' } }) } : processor, 1);
  }
}
say('end', process.memoryUsage.rss());

async function record(processor: KvmEngineOptions): Promise<void> {
  const begin = performance.now();
  for (const program of ENGINE_PROGRAMS) {
    for (const mode of program.modes) say('record', [program.name, mode, await recordProgram(kvmEngine(processor), program, mode).catch((error: unknown) => [`failed: ${String(error)}`])]);
  }
  say('records in seconds', (performance.now() - begin) / 1000);
}

/** Random programs with blocks behind exits and without: how many, and the first that parted. */
async function compareBlocks(processor: KvmEngineOptions, mode: KvmMode): Promise<readonly [mode: string, blocks: number, parted: number]> {
  await using singly = await KvmTrapMachine.create(processor, null);
  await using compounded = await KvmTrapMachine.create(processor, { policy: 'fixed' }, true);
  const random = new Random(7);
  const handlers = kvmHandlers(mode);
  for (let number = 0; number < PROGRAMS; number++) {
    const program = writeKvmProgram(random, mode, 0); // QEMU's translator misses changes of the next instruction under nested paging, without any block
    const run = (machine: KvmTrapMachine): string => JSON.stringify(machine.run(program, mode, handlers, FOREVER));
    const expected = [run(singly)];
    for (let again = 0; !expected.includes(run(compounded)); again++) {
      if (again === MOST_RUNS) return [mode, compounded.blocks, number];
      expected.push(run(singly)); // an interrupt comes an instruction later now and then, without any block
    }
  }
  return [mode, compounded.blocks, -1];
}

/** A kernel to its shell, in a machine of ours in that machine of QEMU's. */
async function boot(options: KvmEngineOptions, processors: number): Promise<void> {
  const begin = performance.now();
  let last = '';
  let first = true;
  const seconds = (): number => (performance.now() - begin) / 1000;
  const decoder = new TextDecoder();
  await using guest = await bootGuest({
    engine: kvmEngine(options), processors, ramBytes: 128 << 20, kernel: readFileSync('/app/kernel'), initrd: readFileSync('/app/initrd'), commandLine: 'console=ttyS0 quiet cryptomgr.notests', log: (source, level, text) => level === 'warn' && say('log', `${source}: ${text}`),
    onOutput: (bytes) => {
      if (first) say('first output after seconds', seconds());
      first = false;
      last = (last + decoder.decode(bytes)).slice(-2000);
    },
  });
  const progress = setInterval(() => say('alive', [seconds(), guest.machine.vcpu.ripText(), ...guest.machine.vcpus.map((vcpu) => Object.fromEntries(vcpu.counts()))]), 20_000);
  guest.type(`echo ${MARK.slice(0, 6)}''${MARK.slice(6)}; dmesg | grep Brought; while :; do date >date; done & echo online $(cat /sys/devices/system/cpu/online)\n`);
  const up = guest.waitFor(MARK, { timeoutMs: 15 * 60_000 }).then(() => true, (error: unknown) => (say('no shell', String(error)), false));
  if (await up) {
    say('shell after seconds', seconds());
    await guest.waitFor(/online \d/, { timeoutMs: 5 * 60_000 });
    say('saved', await savedAsItStands(guest));
    guest.type('poweroff -f\n');
    say('ended', await guest.ended());
  }
  clearInterval(progress);
  for (const vcpu of guest.machine.vcpus) say('exits', Object.fromEntries(vcpu.counts()));
  say('output', last);
}

/** Saves a guest that stores to memory all the while, most of it packed before it stands still; is what is saved what it has then? */
async function savedAsItStands(guest: Guest<KvmVcpu>): Promise<Readonly<Record<string, unknown>>> {
  const { ram } = guest.machine;
  const begin = performance.now();
  const ahead = (await guest.machine.packAhead(CODEC))!;
  const packed = performance.now();
  const release = guest.hold();
  try {
    await guest.standing();
    const pieces: Uint8Array[] = [];
    await guest.machine.save((piece) => void pieces.push(piece), { ahead });
    const stood = performance.now();
    const saved = readSnapshot(Buffer.concat(pieces), CODEC);
    const bytes = Buffer.alloc(ram.bytes);
    let pages = 0;
    for (const { first, pages: count, packed: content } of saved.pages) {
      bytes.set(content, first * PAGE);
      pages += count;
    }
    const isSame = bytes.compare(Buffer.from(ram.memory.buffer as ArrayBuffer, ram.base, ram.bytes)) === 0;
    return { isSame, pages, standing: ahead.standing, seconds: [(packed - begin) / 1000, (stood - packed) / 1000] };
  } finally {
    ahead.close();
    release();
  }
}
