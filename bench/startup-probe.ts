// node startup-probe.ts INTERPRETER: one process that makes machines, and says on its standard output how long each step took, in milliseconds.
const begin = performance.now();
const [{ bootGuest }, { wasmEngine }] = await Promise.all([import('@vm/pc'), import('@vm/vcpu-wasm')]);
const loaded = performance.now();
const { tinyProgram } = await import('./tiny-program.ts');

const MACHINES = 20;
const MIB = 2 ** 20;

/** As JSON on one line: of each step how long it took the first time, and the middle of further times. */
export interface StartupTimes {
  readonly load: number;
  readonly interpreter: number;
  readonly interpreterBytes: number;
  readonly compile: number;
  /** From nothing to a machine that is powered up; its program has not begun. */
  readonly machine: readonly number[];
  /** From power-up to the end of a program of some hundred instructions, all translated. */
  readonly program: readonly number[];
  /** Writing and compiling its one region. */
  readonly region: readonly number[];
}

const { interpreterImage } = await import(process.argv[2]!) as { interpreterImage: () => { readonly long: { readonly module: Uint8Array<ArrayBuffer> }; readonly legacy: { readonly module: Uint8Array<ArrayBuffer> } } };
const beforeImage = performance.now();
const image = interpreterImage();
const afterImage = performance.now();
for (const { module } of [image.long, image.legacy]) new WebAssembly.Module(module);
const compiled = performance.now();

const program = tinyProgram();
const machine: number[] = [], run: number[] = [], region: number[] = [];
for (let i = 0; i < MACHINES; i++) {
  const from = performance.now();
  let halted: (at: number) => void = () => undefined;
  const end = new Promise<number>((resolve) => (halted = resolve));
  await using guest = await bootGuest({ engine: wasmEngine({ translator: 'eager', haltedForGood: () => halted(performance.now()) }), ramBytes: 512 * MIB, kernel: program, entry: 'multiboot' });
  const up = performance.now();
  machine.push(up - from);
  run.push((await end) - up);
  const counters = guest.machine.counters.read();
  region.push(counters['cpu.translator.microseconds']! / 1000 / counters['cpu.translator.modules']!);
}
const times: StartupTimes = {
  load: loaded - begin, interpreter: afterImage - beforeImage, interpreterBytes: image.long.module.length + image.legacy.module.length, compile: compiled - afterImage, machine, program: run, region,
};
console.log(JSON.stringify(times));
