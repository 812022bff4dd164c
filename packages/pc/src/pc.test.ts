import { device, type Engine, type InterruptPort, type Vcpu } from '@vm/core';
import { EXIT_HALT, PAGE_READ_ONLY } from '@vm/core/exit';
import { virtioConsole } from '@vm/virtio';
import { describe, expect, it } from 'vitest';
import type { BootState } from './boot-state.ts';
import { cmosMemory } from './cmos-memory.ts';
import { createPc, type PcOptions } from './pc.ts';
import { testDevices } from './test-devices.ts';

interface Ports {
  in(port: number, size?: 1 | 2 | 4): number;
  out(port: number, value: number, size?: 1 | 2 | 4): void;
  readonly mmio: { read(gpa: number, size: 4): number; write(gpa: number, size: 4, value: number): void };
  readonly interrupts: InterruptPort;
}

/** A processor whose guest program is a function: called at the start and at every interrupt, with its vector. */
function scripted(program: (ports: Ports, vector: number) => void): Engine<Vcpu & { loadBootState(state: BootState): void; readonly booted: BootState | null }> {
  return {
    abi: 0,
    id: 'test.scripted',
    features: [],
    reserveBytes: () => 4096,
    createVcpu: (_index, { pio, mmio, interrupts }) => {
      let booted: BootState | null = null;
      let started = false;
      let retired = 0;
      const ports: Ports = { in: (port, size = 1) => pio.read(port, size), out: (port, value, size = 1) => pio.write(port, size, value), mmio, interrupts };
      return {
        get retired() {
          return retired;
        },
        get booted() {
          return booted;
        },
        run: () => {
          retired++;
          if (!started) {
            started = true;
            program(ports, -1);
          }
          while (interrupts.isPending()) program(ports, interrupts.acknowledge());
          return EXIT_HALT;
        },
        signal: () => {},
        stopAfter: () => {},
        reset: () => {
          booted = null;
          started = false;
        },
        loadBootState: (state) => {
          booted = state;
        },
      };
    },
    tearDown: () => {},
  };
}

function kernelImage(): Uint8Array {
  const image = new Uint8Array(4096);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint32(0x1f4, (4096 - 1024) / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint8(0x201, 0x6a);
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, 0x20f, true);
  view.setUint8(0x211, 1);
  view.setUint16(0x236, 1, true);
  return image;
}

async function runPc(program: (ports: Ports, vector: number) => void, more: Partial<PcOptions<never>> = {}) {
  const faults: string[] = [];
  const pc = await createPc({
    engine: scripted(program), ramBytes: 16 * 2 ** 20, kernel: kernelImage(), clock: { kind: 'virtual', nanosPerInstruction: 1 },
    log: (source, level, text) => void (level === 'warn' && faults.push(`${source}: ${text}`)), ...(more as object),
  });
  await pc.machine.powerUp();
  const reason = await pc.machine.stopped();
  expect(faults).toEqual([]);
  return { pc, reason };
}

const powerOff = (ports: Ports): void => ports.out(0x604, 0x3400, 2);

/** Both 8259 with vectors from 0x20 and 0x28 on and the given masks. */
function startPic(ports: Ports, masks: number): void {
  for (const [port, value] of [[0x20, 0x11], [0x21, 0x20], [0x21, 4], [0x21, 1], [0xa0, 0x11], [0xa1, 0x28], [0xa1, 2], [0xa1, 1]] as const) ports.out(port, value);
  ports.out(0x21, masks & 0xff);
  ports.out(0xa1, masks >>> 8);
}

function setEntry(ports: Ports, pin: number, low: number): void {
  ports.mmio.write(0xfec0_0000, 4, 0x10 + pin * 2);
  ports.mmio.write(0xfec0_0010, 4, low);
}

it('boots with the loaded kernel, the tables in place, and turns off', async () => {
  const { pc, reason } = await runPc((ports) => powerOff(ports));
  expect(reason).toBe('power-off');
  expect(pc.machine.vcpu.booted?.rip).toBe(0x10_0200);
  expect(pc.machine.memory.read(0xe_0000, 4)).toBe(0x2044_5352); // "RSD "
  await pc.machine[Symbol.asyncDispose]();
});

it('passes timer ticks through the 8259 and LINT0 in virtual-wire mode', async () => {
  const vectors: number[] = [];
  const { pc } = await runPc((ports, vector) => {
    if (vector < 0) {
      startPic(ports, 0xfffe);
      for (const [port, value] of [[0x43, 0x34], [0x40, 0xa9], [0x40, 0x04]] as const) ports.out(port, value); // 1 ms
      return;
    }
    vectors.push(vector);
    ports.out(0x20, 0x20);
    if (vectors.length === 10) powerOff(ports);
  });
  expect(vectors).toEqual(Array(10).fill(0x20));
  const ns = pc.machine.clock.now();
  expect(ns).toBeGreaterThan(8e6);
  expect(ns).toBeLessThan(11e6);
});

it('passes timer ticks through input 2 of the I/O APIC', async () => {
  const vectors: number[] = [];
  await runPc((ports, vector) => {
    if (vector < 0) {
      startPic(ports, 0xffff);
      ports.interrupts.writeRegister(0xf0, 4, 0x1ff);
      setEntry(ports, 2, 0x30);
      for (const [port, value] of [[0x43, 0x34], [0x40, 0xa9], [0x40, 0x04]] as const) ports.out(port, value);
      return;
    }
    vectors.push(vector);
    ports.interrupts.writeRegister(0xb0, 4, 0);
    if (vectors.length === 5) powerOff(ports);
  });
  expect(vectors).toEqual(Array(5).fill(0x30));
});

it('raises a level-triggered system control interrupt for the power button, until it is acknowledged', async () => {
  const vectors: number[] = [];
  let press = (): void => {};
  const pc = await createPc({
    engine: scripted((ports, vector) => {
      if (vector < 0) {
        ports.interrupts.writeRegister(0xf0, 4, 0x1ff);
        setEntry(ports, 9, 0x8039);
        ports.out(0x602, 0x100, 2);
        queueMicrotask(() => press());
        return;
      }
      vectors.push(vector);
      if (vectors.length === 2) ports.out(0x600, 0x100, 2);
      ports.interrupts.writeRegister(0xb0, 4, 0);
      if (vectors.length === 2) {
        expect(ports.interrupts.isPending()).toBe(false);
        powerOff(ports);
      }
    }),
    ramBytes: 16 * 2 ** 20,
    kernel: kernelImage(),
    clock: { kind: 'virtual', nanosPerInstruction: 1 },
  });
  press = () => pc.pressPowerButton();
  await pc.machine.powerUp();
  expect(await pc.machine.stopped()).toBe('power-off');
  expect(vectors).toEqual([0x39, 0x39]);
});

describe('serial port', () => {
  it('sends to the host and takes bytes from it', async () => {
    const sent: number[] = [];
    const echoed: number[] = [];
    let receive = (_bytes: Uint8Array): number => 0;
    const pc = await createPc({
      engine: scripted((ports, vector) => {
        if (vector < 0) {
          startPic(ports, 0xffef);
          ports.out(0x3fc, 0x0b);
          ports.out(0x3f9, 0x01);
          for (const char of 'hi') ports.out(0x3f8, char.charCodeAt(0));
          queueMicrotask(() => receive(Uint8Array.of(0x79)));
          return;
        }
        expect(vector).toBe(0x24);
        echoed.push(ports.in(0x3f8));
        ports.out(0x20, 0x20);
        powerOff(ports);
      }),
      ramBytes: 16 * 2 ** 20,
      kernel: kernelImage(),
      serial: { output: (byte) => sent.push(byte) },
    });
    receive = (bytes) => pc.receive(bytes);
    await pc.machine.powerUp();
    expect(await pc.machine.stopped()).toBe('power-off');
    expect([sent, echoed]).toEqual([[0x68, 0x69], [0x79]]);
  });
});

it.each<[string, number, number]>([
  ['the reset register', 0xcf9, 0x06],
  ['the keyboard controller', 0x64, 0xfe],
  ['port 0x92', 0x92, 0x01],
])('stops for a reset by %s and boots again', async (_what, port, value) => {
  let boots = 0;
  const { pc, reason } = await runPc((ports) => {
    boots++;
    if (boots === 1) ports.out(port, value);
    else powerOff(ports);
  });
  expect(reason).toBe('reset');
  await pc.machine.reset();
  expect(await pc.machine.stopped()).toBe('power-off');
  expect([boots, pc.machine.vcpu.booted?.rip]).toEqual([2, 0x10_0200]);
});

it('runs the timer of the local APIC on machine time', async () => {
  let at = 0;
  const { pc } = await runPc((ports, vector) => {
    if (vector < 0) {
      ports.interrupts.writeRegister(0xf0, 4, 0x1ff);
      ports.interrupts.writeRegister(0x320, 4, 0x4_0040);
      ports.interrupts.writeModelRegister(0x6e0, 5_000_000, 0);
      return;
    }
    expect(vector).toBe(0x40);
    powerOff(ports);
  });
  at = pc.machine.clock.now();
  expect(at).toBeGreaterThanOrEqual(5_000_000);
  expect(at).toBeLessThan(5_000_100);
});

it('is not made when there is nothing to boot, or more than one thing', async () => {
  const make = (what: object) => createPc({ engine: scripted(() => {}), ramBytes: 2 ** 20, ...what });
  await expect(make({ kernel: new Uint8Array(5000) })).rejects.toThrow(/boot signature/);
  await expect(make({ rom: new Uint8Array(5000) })).rejects.toThrow('ROM: expected pages of 4 KiB, as in 64 KiB, and at most 8 MiB; got 5000 bytes');
  await expect(make({ rom: new Uint8Array(0x90_0000) })).rejects.toThrow(/at most 8 MiB/);
  await expect(make({})).rejects.toThrow('expected a kernel or a rom');
  await expect(make({ kernel: kernelImage(), rom: new Uint8Array(4096) })).rejects.toThrow('expected a kernel or a rom');
});

it('has a ROM at the end of 4 GiB and again at the end of 1 MiB, where stores are dropped unless it is shadow RAM', async () => {
  const rom = Uint8Array.from({ length: 0x5_0000 }, (_, at) => at >> 12);
  for (const romShadow of [false, true]) {
    const pc = await createPc({ engine: scripted((ports) => powerOff(ports)), ramBytes: 2 ** 20, rom, romShadow });
    await pc.machine.powerUp();
    await pc.machine.stopped();
    const { memory, ram, vcpu } = pc.machine;
    expect([0xffff_ffff, 0xfffb_0000, 0xfffa_ffff, 0xf_ffff, 0xc_0000].map((gpa) => memory.read(gpa, 1))).toEqual([0x4f, 0, 0xff, 0x4f, 0x10]);
    expect(memory.read(0xb_ffff, 1)).toBe(0); // RAM
    expect(vcpu.booted).toBe(null); // it begins at the reset vector
    const attributes = new Uint8Array(ram.memory.buffer, ram.attributesOffset, 256);
    expect([...attributes.subarray(0xbf, 0xc1), attributes[255]]).toEqual(romShadow ? [0, 0, 0] : [0, PAGE_READ_ONLY, PAGE_READ_ONLY]);
  }
});

it('tells firmware and test programs of RAM and processors when asked to', async () => {
  const items: number[][] = [];
  await runPc((ports) => {
    for (const [item, bytes] of [[3, 8], [5, 2], [0x11, 4]] as const) {
      ports.out(0x510, item, 2);
      items.push(Array.from({ length: bytes }, () => ports.in(0x511)));
    }
    powerOff(ports);
  }, { firmwareConfig: true });
  expect(items).toEqual([[0, 0, 0, 1, 0, 0, 0, 0], [1, 0], [0, 0, 0, 0]]);
});

it('brings the lines of the test devices to the inputs of the I/O APIC of the same number', async () => {
  const seen: number[] = [];
  let code = -1;
  await runPc((ports) => {
    for (let input = 0; input < 24; input++) {
      setEntry(ports, input, 0x8000 | 0x40); // level, open: the request shows in the entry
      ports.out(0x2000 + input, 1, 4);
      ports.mmio.write(0xfec0_0000, 4, 0x10 + input * 2);
      if ((ports.mmio.read(0xfec0_0010, 4) & (1 << 14)) !== 0) seen.push(input);
      ports.out(0x2000 + input, 0, 4);
      ports.interrupts.acknowledge();
      ports.interrupts.writeRegister(0xb0, 4, 0);
    }
    ports.out(0xf4, 7, 4);
    powerOff(ports);
  }, { devices: [testDevices({ exit: (given) => (code = given), shutdown: () => {} })] });
  expect([code, seen]).toEqual([7, Array.from({ length: 23 }, (_, i) => i + 1)]);
});

it('tells firmware in the memory of the real-time clock of RAM below and above 4 GiB', () => {
  const word = (memory: Readonly<Record<number, number>>, at: number): number => memory[at]! + memory[at + 1]! * 0x100;
  const small = cmosMemory(8 * 2 ** 20, 0);
  expect([0x15, 0x17, 0x30, 0x34, 0x5b].map((at) => word(small, at))).toEqual([640, 7 * 1024, 7 * 1024, 0, 0]);
  const large = cmosMemory(3 * 2 ** 30, 5 * 2 ** 32 + 2 ** 30);
  expect([0x15, 0x17, 0x30, 0x34, 0x5b].map((at) => word(large, at))).toEqual([640, 0xffff, 0xffff, (3 * 2 ** 30 - 2 ** 24) / 2 ** 16, 0x4000]);
  expect(large[0x5d]).toBe(5);
});

it('has a PCI device of its composer on the bus, with its windows open', async () => {
  const seen: number[] = [];
  const { pc } = await runPc(
    (ports) => {
      for (const register of [0x00, 0x08, 0x20, 0x04]) {
        ports.out(0xcf8, 0x8000_0000 + (20 << 11) + register, 4);
        seen.push(ports.in(0xcfc, 4));
      }
      powerOff(ports);
    },
    { pciDevices: (bus) => [device('console', virtioConsole, { slot: bus.slot(20), output: () => {} })] },
  );
  expect([seen[0], seen[1]! >>> 8, seen[3]! & 6]).toEqual([0x1043_1af4, 0x07_8000, 2]);
  expect(seen[2]).toBeGreaterThanOrEqual(0xe000_0000);
  await pc.machine[Symbol.asyncDispose]();
});
