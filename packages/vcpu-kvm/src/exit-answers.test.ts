import type { AccessQueue, IoBus, InterruptPort } from '@vm/core/engine';
import { describe, expect, it } from 'vitest';
import { ExitAnswers } from './exit-answers.ts';
import { RUN } from './kvm-layout-table.ts';

const F = RUN.fields;
const DATA = 4096;

/** A page as KVM leaves it, and what was asked of whom. */
function setup(window = -1, queue: AccessQueue | null = null): { readonly view: DataView; readonly answers: ExitAnswers; readonly asked: string[] } {
  const page = new ArrayBuffer(8192);
  const asked: string[] = [];
  let next = 0x1122_3344;
  const bus = (name: string): IoBus => ({
    queue: () => queue,
    enqueue: (index, address, size, isWrite, value, now) => void asked.push(`${name} list ${index} ${address.toString(16)} ${size} ${isWrite ? value.toString(16) : 'read'} at ${now}`),
    read: (address, size) => (asked.push(`${name} read ${address.toString(16)} ${size}`), next++ % 2 ** (size * 8)),
    write: (address, size, value) => void asked.push(`${name} write ${address.toString(16)} ${size} ${value.toString(16)}`),
    readWide: (address, bytes, into) => (asked.push(`${name} wide ${address.toString(16)} ${bytes}`), into.setBigUint64(0, 0x1234_5678_9abc_def0n, true)),
    writeWide: (address, bytes, from) => void asked.push(`${name} wide write ${address.toString(16)} ${bytes} ${from.getBigUint64(0, true).toString(16)}`),
  });
  const port: InterruptPort = {
    isPending: () => false, acknowledge: () => -1, window: () => -1, readRegister: (offset, size) => (asked.push(`apic read ${offset.toString(16)} ${size}`), 0x55), writeRegister: (offset, size, value) => void asked.push(`apic write ${offset.toString(16)} ${size} ${value.toString(16)}`),
    readModelRegister: () => false, low: 0, high: 0, writeModelRegister: () => false, priority: 0,
  };
  const answers = new ExitAnswers(page, bus('port'), bus('memory'), port, () => 7);
  answers.window = window;
  return { view: new DataView(page), answers, asked };
}

function portExit(view: DataView, isWrite: boolean, port: number, size: number, count: number): void {
  view.setUint8(F['io.direction'][0], isWrite ? 1 : 0);
  view.setUint8(F['io.size'][0], size);
  view.setUint16(F['io.port'][0], port, true);
  view.setUint32(F['io.count'][0], count, true);
  view.setBigUint64(F['io.data_offset'][0], BigInt(DATA), true);
}
function memoryExit(view: DataView, isWrite: boolean, address: bigint, bytes: number): void {
  view.setBigUint64(F['mmio.phys_addr'][0], address, true);
  view.setUint32(F['mmio.len'][0], bytes, true);
  view.setUint8(F['mmio.is_write'][0], isWrite ? 1 : 0);
}

describe('an exit for a port', () => {
  it('is lists where the device takes such, begun again behind an access that it stops at', () => {
    const runs: number[] = [];
    const queue: AccessQueue = { most: 4, sharesMemory: false, told: false, run: (count) => (runs.push(count), runs.length === 1 ? 3 : count), result: (index) => 0x10 * runs.length + index };
    const { view, answers, asked } = setup(-1, queue);
    portExit(view, false, 0x60, 1, 6);
    answers.port();
    expect(runs).toEqual([4, 3]);
    expect(Array.from({ length: 6 }, (_, i) => view.getUint8(DATA + i))).toEqual([0x10, 0x11, 0x12, 0x20, 0x21, 0x22]);
    runs.length = 0;
    asked.length = 0;
    portExit(view, true, 0x60, 2, 4);
    [0x1111, 0x2222, 0x3333, 0x4444].forEach((value, i) => view.setUint16(DATA + i * 2, value, true));
    answers.port();
    expect(runs).toEqual([4, 1]);
    expect(asked).toEqual(['1111', '2222', '3333', '4444', '4444'].map((value, i) => `port list ${i % 4} 60 2 ${value} at 7`));
  });

  it('is one access, or one for each element of a string, in order', () => {
    const { view, answers, asked } = setup();
    portExit(view, false, 0x60, 4, 1);
    answers.port();
    expect(view.getUint32(DATA, true)).toBe(0x1122_3344);
    portExit(view, true, 0x1f0, 2, 3);
    [0x1111, 0x2222, 0x3333].forEach((value, i) => view.setUint16(DATA + i * 2, value, true));
    answers.port();
    portExit(view, false, 0x64, 1, 2);
    answers.port();
    expect(asked).toEqual(['port read 60 4', 'port write 1f0 2 1111', 'port write 1f0 2 2222', 'port write 1f0 2 3333', 'port read 64 1', 'port read 64 1']);
    expect([view.getUint8(DATA), view.getUint8(DATA + 1)]).toEqual([0x45, 0x46]);
  });
});

describe('an exit for memory', () => {
  it('reaches devices beyond 4 GiB, whole where it has 8 bytes, in pieces where a page ended within it', () => {
    const { view, answers, asked } = setup();
    memoryExit(view, false, 0x12_3456_7890n, 8);
    answers.memory();
    expect(view.getBigUint64(F['mmio.data'][0], true)).toBe(0x1234_5678_9abc_def0n);
    memoryExit(view, true, 0xd000_0000n, 8);
    answers.memory();
    memoryExit(view, true, 0xd000_0ff9n, 7);
    answers.memory();
    expect(asked).toEqual(['memory wide 1234567890 8', 'memory wide write d0000000 8 123456789abcdef0', 'memory write d0000ff9 4 9abcdef0', 'memory write d0000ffd 2 5678', 'memory write d0000fff 1 34']);
  });
  it('reaches the interrupt controller in its page, and devices beside it', () => {
    const { view, answers, asked } = setup(0xfee0_0000);
    for (const address of [0xfee0_0020n, 0xfedf_fffcn, 0xfee0_1000n]) {
      memoryExit(view, false, address, 4);
      answers.memory();
    }
    memoryExit(view, true, 0xfee0_00b0n, 4);
    answers.memory();
    expect(asked).toEqual(['apic read 20 4', 'memory read fedffffc 4', 'memory read fee01000 4', expect.stringMatching(/^apic write b0 4 /) as string]);
  });
});
