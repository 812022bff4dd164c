// node --conditions=vm-source examples/exit-replay/src/record.ts KERNEL INITRD PROMPT | gzip -9 > boot.trace.gz
import { readFileSync } from 'node:fs';
import { bootGuest } from '@vm/pc';
import { wasmEngine } from '@vm/vcpu-wasm';
import { recordingEngine } from './recording-engine.ts';
import { exitText } from './trace.ts';

const [kernel, initrd, prompt = '# '] = process.argv.slice(2);
if (kernel === undefined || initrd === undefined) {
  console.error('usage: record.ts KERNEL INITRD [PROMPT]   (boots it under the virtual clock until the prompt, and writes its exits)');
  process.exit(2);
}
const lines: string[] = [];
await using guest = await bootGuest({
  engine: recordingEngine(wasmEngine(), (exit) => lines.push(exitText(exit))),
  ramBytes: 128 * 2 ** 20, kernel: readFileSync(kernel), initrd: readFileSync(initrd), commandLine: 'console=ttyS0', clock: { kind: 'virtual', nanosPerInstruction: 10 },
});
await guest.waitFor(prompt);
guest.hold();
process.stdout.write(`${lines.join('\n')}\n`);
