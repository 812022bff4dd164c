/** A program without an operating system finds the synthetic interrupt controller as its specification has it. */
import { readFileSync } from 'node:fs';
import { itWithOracle } from '@vm/testkit/oracle';
import { bootGuest, testDevices } from '@vm/pc';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { describe, expect, it } from 'vitest';
import { build } from './bare-build.ts';

async function run(kernel: string, processors = 1): Promise<{ readonly output: string; readonly code: number; readonly counters: Readonly<Record<string, number>> }> {
  let finish: (code: number) => void = () => {};
  const ended = new Promise<number>((resolve) => (finish = resolve));
  await using guest = await bootGuest<WasmVcpu>({
    engine: wasmEngine(), ramBytes: 64 * 2 ** 20, clock: { kind: 'virtual', nanosPerInstruction: 1 }, kernel: readFileSync(kernel), entry: 'multiboot', processors,
    modules: [{ bytes: new TextEncoder().encode(`NR_CPUS=${processors}\n`), text: 'env' }], enlighten: 'hyperv-full', onReset: 'end', devices: [testDevices({ exit: (code) => finish(code), shutdown: () => {}, echoBytes: true })],
  });
  void guest.ended().then(() => finish(-1));
  const code = await ended;
  return { output: guest.output.replaceAll('\r', ''), code, counters: guest.machine.counters.read() };
}

describe('a program in C', () => {
  for (const width of [32, 64] as const) {
    itWithOracle(it, 'gcc', `of ${width} bits finds sources, messages, flags, timers, calls and ends of interrupts`, async () => {
      const { output, code, counters } = await run(build('synthetic', width, ['start.S', 'synthetic.c']));
      expect(output).not.toContain('FAIL');
      expect(output).toMatch(/SUMMARY: 47 tests, 0 unexpected failures/);
      expect([code, counters['device.local-apic.ends.spurious'], counters['device.synthetic.messages.posted']]).toEqual([0, 0, 38]);
    });
    for (const processors of [2, 4]) {
      itWithOracle(it, 'gcc', `of ${width} bits finds those of other processors, of ${processors}`, async () => {
        const { output, code, counters } = await run(build('partners', width, ['start.S', 'processors.S', 'partners.c']), processors);
        expect(output).not.toContain('FAIL');
        expect(output).toMatch(/SUMMARY: 8 tests, 0 unexpected failures/);
        expect([code, counters['device.local-apic.ends.spurious']]).toEqual([0, 0]);
      });
    }
  }
});
