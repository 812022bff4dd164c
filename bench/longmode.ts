import { buildMonitor, type MonitorOptions } from '@vm/longmode-switch';
import { findOracle } from '@vm/testkit/oracle';
import { createAssembler, createInstruction, decode, formatInstruction, mem, r32, RAX, RBX, RCX, CONDITION_NE } from '@vm/x86';
import { runInBochs, runInQemu } from '../tests/longmode/other-processors.ts';
import { eventAtEveryBoundary } from '../tests/longmode/round-trips.ts';
import { sampleGuest } from '../tests/longmode/sample-guest.ts';
import { SteppedMonitor } from '../tests/longmode/stepped-monitor.ts';
import { type Benchmark, median, row, type Row } from './registry.ts';

/** Operations a direction of the published switcher, counted in its source: 2 of CR0, 3 of CR3, 2 of CR4, EFER, four tables, two far transfers. */
const PUBLISHED = { name: 'published switcher', value: 14 };
const FLAT = 0x40_0000;
const SERIALISING = /^(mov cr|wrmsr|lgdt|lidt|ltr|lldt|jmpf|iret)/;
/** Cycles of a model, by what an instruction is: orders of magnitude for processors of the years when this switch was in use, not measurements. */
const MODEL_CYCLES: readonly (readonly [RegExp, number])[] = [
  [/^mov cr0/, 150], [/^mov cr3/, 100], [/^mov cr4/, 120], [/^mov cr/, 100], [/^wrmsr/, 100], [/^rdmsr/, 60], [/^(lgdt|lidt)/, 40], [/^ltr/, 60], [/^jmpf/, 40], [/^iret/, 60], [/^mov (ds|es|fs|gs|ss)/, 20], [/^popf/, 20], [/^pusha|^popa/, 10],
];
const ENTRIES = 12; // pages of the page of the switch, the monitor and the guest, that are walked to again after each of two flushes
const WALK_CYCLES = 30;

interface RoundTrip {
  readonly toLegacy: readonly string[];
  readonly toLong: readonly string[];
}

/** Every instruction of one excursion as the engine meets it, up to the guest's first and from its last. */
function traceRoundTrip(options: Partial<MonitorOptions>): RoundTrip {
  const monitor = new SteppedMonitor(options);
  const { first, last } = monitor.image.excursionCode;
  // The first excursion has the page to establish.
  for (let i = 0; i < 2; i++) {
    monitor.runTo(first);
    monitor.step();
  }
  monitor.runTo(last);
  monitor.runTo(first);
  const toLegacy: string[] = [];
  const toLong: string[] = [];
  let inGuest = false;
  const instruction = createInstruction();
  while (monitor.hostAddress !== last) {
    const { address, bits } = monitor.place();
    if (address >= FLAT && address < FLAT + 0x1000) inGuest = true;
    else {
      decode(bits, monitor.machine.bytes, address, 15, instruction);
      (inGuest ? toLong : toLegacy).push(formatInstruction(instruction));
    }
    monitor.step();
  }
  return { toLegacy, toLong };
}

const serialising = (code: readonly string[]): number => code.filter((text) => SERIALISING.test(text)).length;
const cycles = (code: readonly string[]): number => code.reduce((sum, text) => sum + (MODEL_CYCLES.find(([pattern]) => pattern.test(text))?.[1] ?? 1), 0);

function countRows(paging: '32-bit' | 'pae'): Row[] {
  const { toLegacy, toLong } = traceRoundTrip({ paging });
  return [
    row(`to legacy, ${paging}`, 'instructions', 1, toLegacy.length), row(`to long, ${paging}`, 'instructions', 1, toLong.length),
    row(`to legacy, ${paging}`, 'serialising operations', 1, serialising(toLegacy), PUBLISHED), row(`to long, ${paging}`, 'serialising operations', 1, serialising(toLong), PUBLISHED),
    row(`round trip, ${paging}`, 'cycles of a model', 1, cycles(toLegacy) + cycles(toLong) + 2 * ENTRIES * WALK_CYCLES),
  ];
}

/** From the event to the count of its handler, for every instruction of a round trip. */
function latencyRows(): Row[] {
  const latencies = eventAtEveryBoundary(new SteppedMonitor(), 'interrupt');
  return [row('host interrupt in an excursion, middle', 'instructions', latencies.length, median(latencies)), row('host interrupt in an excursion, most', 'instructions', latencies.length, Math.max(...latencies))];
}

/** What the sample guest causes under each policy. */
function policyRows(): Row[] {
  return (['always', 'avoid', 'batch'] as const).flatMap((excursion) => {
    const monitor = new SteppedMonitor({ excursion, guest: { kind: 'flat', bytes: requestingGuest(200, true) } });
    while (monitor.machine.view.getUint32(FLAT + 0x2000, true) === 0 && monitor.step(10_000));
    const left = monitor.count('excursions');
    const avoided = monitor.count('avoided');
    return [row(`200 requests from each ring, ${excursion}`, 'excursions', 1, left), row(`200 requests from each ring, ${excursion}`, '% without leaving long mode', 1, (100 * avoided) / (left + avoided))];
  });
}

/** Asks so often that time goes by. */
function requestingGuest(requests: number, user: boolean): Uint8Array {
  const a = createAssembler(32, { origin: FLAT });
  const loop = (label: string): void => void a.mov(r32(RCX), requests).label(label).mov(r32(RAX), 1).mov(r32(RBX), 0x2e).int(0x30).dec(r32(RCX)).jcc(CONDITION_NE, label);
  loop('ring-0');
  if (user) {
    a.mov(r32(RAX), 2).mov(r32(RBX), FLAT + 0x1000).mov(r32(RCX), FLAT + 0x3000).int(0x30).align(0x1000);
    loop('ring-3');
    a.mov(mem(4, { displacement: FLAT + 0x2000 }), 1);
  }
  a.xor(r32(RAX), r32(RAX)).xor(r32(RBX), r32(RBX)).int(0x30);
  return a.bytes();
}

async function speedRows(quick: boolean): Promise<Row[]> {
  const few = 200;
  const many = quick ? 1200 : 20_200;
  const image = (requests: number) => buildMonitor({ guest: { kind: 'flat', bytes: requestingGuest(requests, false) }, rounds: 1000 });
  const rows: Row[] = [];
  const monitor = new SteppedMonitor();
  monitor.runTo(monitor.image.excursionCode.first);
  monitor.step(200_000);
  const before = monitor.rounds;
  const begin = performance.now();
  while (monitor.rounds < before + many - few && monitor.step(10_000));
  rows.push(row('round trips here', '/s', 1, (1000 * (monitor.rounds - before)) / (performance.now() - begin)));
  const timed = async (name: string, run: (requests: number) => Promise<string>): Promise<void> => {
    const took = async (requests: number): Promise<number> => {
      const from = performance.now();
      await run(requests);
      return performance.now() - from;
    };
    const least = await took(few);
    const all = await took(many);
    // A start that took as long says nothing.
    if (all > least) rows.push(row(`round trips, ${name}`, '/s', 1, (1000 * (many - few)) / (all - least)));
  };
  const qemu = findOracle('qemu-system-x86_64');
  if (qemu !== null) await timed("QEMU's translator", (requests) => runInQemu(qemu, image(requests), 'multiboot'));
  const bochs = findOracle('bochs');
  if (bochs !== null) await timed('Bochs', (requests) => runInBochs(bochs, image(requests)));
  return rows;
}

export const longmode: Benchmark = {
  summary: 'the world switch: instructions and serialising operations, excursions under each policy, interrupt latency, round trips a second',
  async run({ quick }) {
    const size = buildMonitor({ guest: { kind: 'flat', bytes: sampleGuest() } });
    return [
      ...countRows('32-bit'), ...countRows('pae'), row('code of the switch in its page', 'bytes', 1, size.page.code.length), ...latencyRows(), ...policyRows(), ...await speedRows(quick),
    ];
  },
};
