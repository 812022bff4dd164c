import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device } from '@vm/core';
import { debugcon } from '@vm/device-debugcon';
import { prepareEntry } from '@vm/pc';
import { wasmEngine } from '@vm/vcpu-wasm';
import { createAssembler, mem, r8, RAX } from '@vm/x86';
import { expect, it } from 'vitest';

const ENTRY = 0x10_0000, HANDLER = 0x10_1000, IDT = 0x10_2000, TABLE = 0x10_3000, STACK = 0x10_8000;
const NMI = 2, CODE = 0x10;
const DEBUG_PORT = 0xe9;
const ICR_LOW = 0xfee0_0300, ICR_HIGH = 0xfee0_0310;
const SEND_NMI = 0x4400;

/** Runs until the processor shuts down; answers what was written to the debug port. */
async function run(code: Uint8Array, handler: Uint8Array): Promise<string> {
  let text = '';
  await using machine = await createMachine({
    engine: wasmEngine(),
    ramBytes: 16 * 2 ** 20,
    clock: { kind: 'virtual', nanosPerInstruction: 10 },
    interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }),
    devices: [device('debug', debugcon, { output: (byte) => (text += String.fromCharCode(byte)) })],
    load: ({ memory, vcpu }) => {
      memory.copyIn(ENTRY, code);
      memory.copyIn(HANDLER, handler);
      const words = new Uint32Array([(CODE << 16) | (HANDLER & 0xffff), (HANDLER & 0xffff_0000) | 0x8e00]);
      memory.copyIn(IDT + NMI * 8, new Uint8Array(words.buffer));
      memory.copyIn(TABLE, Uint8Array.of(0x17, 0, IDT & 0xff, (IDT >> 8) & 0xff, (IDT >> 16) & 0xff, IDT >>> 24));
      vcpu.loadBootState({ ...prepareEntry(memory, { bits: 32, rip: ENTRY }), rsp: STACK });
    },
  });
  await machine.powerUp();
  expect(await machine.stopped()).toBe('shutdown');
  return text;
}
const say = (letter: string): Uint8Array => createAssembler(32).mov(r8(RAX), letter.charCodeAt(0)).bytes();
const out = Uint8Array.of(0xe6, DEBUG_PORT);
const join = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));

it('a processor sends itself a non-maskable interrupt through its local APIC, with interrupts off', async () => {
  const start = createAssembler(32).op('lidt', mem(6, { displacement: TABLE })).mov(mem(4, { displacement: ICR_HIGH }), 0).bytes();
  const send = createAssembler(32).mov(mem(4, { displacement: ICR_LOW }), SEND_NMI).bytes();
  const end = createAssembler(32).op('ud2').bytes(); // nobody handles it
  const handler = join(say('n'), out, createAssembler(32).size(4).iret().bytes());
  expect(await run(join(start, say('a'), out, send, say('b'), out, send, say('c'), out, end), handler)).toBe('anbnc');
});
