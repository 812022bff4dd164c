import { helloDevice } from '@vm-example/hello-device';
import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device, type Machine, type StopReason } from '@vm/core';
import { prepareEntry } from '@vm/pc';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';

export interface Visit {
  readonly reason: StopReason;
  readonly instructions: number;
  /** The byte at each address that was asked for. */
  readonly memory: readonly number[];
}

const ENTRY = 0x10_0000;

/**
 * A machine of one processor, 2 MiB of RAM and one device: runs flat 32-bit code from 1 MiB on until `greet` has heard "bye".
 * Machine time is counted in instructions, so every run is the same.
 */
export async function runProgram(program: Uint8Array, greet: (line: string) => number, look: readonly number[] = []): Promise<Visit> {
  const bus = new ApicBus();
  await using machine: Machine<WasmVcpu> = await createMachine({
    engine: wasmEngine(),
    ramBytes: 2 * 2 ** 20,
    clock: { kind: 'virtual', nanosPerInstruction: 10 },
    interrupts: (services) => createApicFabric(services, { processors: 1, bus }),
    devices: [device('hello', helloDevice, { base: 0x500, pin: 5, greet: (line) => {
      if (line === 'bye') machine.requestStop('power-off');
      return greet(line);
    } })],
    load: ({ memory, vcpu }) => {
      memory.copyIn(ENTRY, program);
      vcpu.loadBootState(prepareEntry(memory, { bits: 32, rip: ENTRY }));
    },
  });
  await machine.powerUp();
  const reason = await machine.stopped();
  return { reason, instructions: machine.vcpu.retired, memory: look.map((gpa) => machine.memory.read(gpa, 1)) };
}
