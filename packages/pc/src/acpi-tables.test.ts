import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { itWithOracle } from '@vm/testkit/oracle';
import { expect, it } from 'vitest';
import { buildAcpiTables } from './acpi-tables.ts';

const MACHINE = {
  processors: 2, localApic: 0xfee0_0000, ioApic: 0xfec0_0000, pmBase: 0x600, sciPin: 9, offType: 5, resetPort: 0xcf9, resetValue: 6,
  serial: { base: 0x3f8, pin: 4 }, keyboard: { pin: 1, mousePin: 12 },
  pci: { memory: 0xe000_0000, memoryEnd: 0xfec0_0000, wiresOf: () => [16, 10] as const, hotplug: { base: 0x620, event: 1, firstSlot: 2 } },
};

function setup() {
  const { base, rsdp, bytes } = buildAcpiTables(MACHINE);
  const view = new DataView(bytes.buffer);
  const at = (gpa: number, length: number): Uint8Array => bytes.subarray(gpa - base, gpa - base + length);
  const u32 = (gpa: number): number => view.getUint32(gpa - base, true);
  const text = (gpa: number, length: number): string => String.fromCharCode(...at(gpa, length));
  const sum = (gpa: number, length: number): number => at(gpa, length).reduce((total, byte) => (total + byte) & 0xff, 0);
  const whole = (gpa: number): Uint8Array => at(gpa, u32(gpa + 4));
  return { rsdp, at, u32, text, sum, whole };
}

it('chains every table from the root pointer, with checksums', () => {
  const { rsdp, u32, text, sum } = setup();
  expect([rsdp % 16, text(rsdp, 8), sum(rsdp, 20), sum(rsdp, 36)]).toEqual([0, 'RSD PTR ', 0, 0]);
  const rsdt = u32(rsdp + 16);
  const xsdt = u32(rsdp + 24);
  expect([text(rsdt, 4), text(xsdt, 4)]).toEqual(['RSDT', 'XSDT']);
  const [fadt, madt] = [u32(xsdt + 36), u32(xsdt + 44)] as [number, number];
  expect([u32(rsdt + 36), u32(rsdt + 40)]).toEqual([fadt, madt]);
  expect([text(fadt, 4), text(madt, 4), text(u32(fadt + 40), 4), text(u32(fadt + 36), 4)]).toEqual(['FACP', 'APIC', 'DSDT', 'FACS']);
  for (const table of [rsdt, xsdt, fadt, madt, u32(fadt + 40)]) expect(sum(table, u32(table + 4))).toBe(0);
  expect(u32(fadt + 36) % 64).toBe(0);
});

it('encodes the sleep type of S5 where the kernel looks for it', () => {
  const { rsdp, u32, whole } = setup();
  const dsdt = whole(u32(u32(u32(rsdp + 24) + 36) + 40));
  expect([...dsdt.subarray(36, 50)]).toEqual([0x08, 0x5c, 0x5f, 0x53, 0x35, 0x5f, 0x12, 0x08, 0x04, 0x0a, 0x05, 0x0a, 0x05, 0x00]);
});

itWithOracle(it, 'iasl', 'is read by iasl as meant', (iasl) => {
  const { rsdp, u32, whole } = setup();
  const xsdt = u32(rsdp + 24);
  const fadt = u32(xsdt + 36);
  const folder = mkdtempSync(join(tmpdir(), 'acpi-'));
  try {
    const listing = (file: string, bytes: Uint8Array): string => {
      writeFileSync(join(folder, `${file}.dat`), bytes);
      execFileSync(iasl, ['-d', `${file}.dat`], { cwd: folder, stdio: 'pipe' });
      return readFileSync(join(folder, `${file}.dsl`), 'utf8');
    };
    const dsdt = listing('dsdt', whole(u32(fadt + 40)));
    expect(dsdt).toMatch(/Name \(\\_S5, Package \(0x04\)/);
    expect(dsdt).toMatch(/Scope \(\\_SB\)\s*\{\s*Device \(COM1\)/);
    expect(dsdt).toMatch(/EisaId \("PNP0501"\)/);
    expect(dsdt).toMatch(/IO \(Decode16,\s*0x03F8,[^]*0x03F8,[^]*0x01,[^]*0x08,/);
    expect(dsdt).toMatch(/IRQNoFlags \(\)\s*\{4\}/);
    expect(dsdt).toMatch(/Device \(KBD\)[^]*EisaId \("PNP0303"\)[^]*0x0060,[^]*0x0064,[^]*IRQNoFlags \(\)\s*\{1\}/);
    expect(dsdt).toMatch(/Device \(MOU\)[^]*EisaId \("PNP0F13"\)[^]*IRQNoFlags \(\)\s*\{12\}/);
    expect(dsdt).toMatch(/OperationRegion \(SLTR, SystemIO, 0x0620, 0x0C\)\s*Field \(SLTR, DWordAcc, NoLock, Preserve\)\s*\{\s*SLTA,\s*32,\s*SLTQ,\s*32,\s*SLTE,\s*32/);
    expect(dsdt).toMatch(/Device \(S1F\)\s*\{\s*Name \(_ADR, 0x001F0000\)[^}]*Name \(_SUN, 0x1F\)[^}]*Method \(_EJ0, 1, NotSerialized\)[^}]*SLTE = 0x80000000/);
    expect(dsdt).toMatch(/If \(\(Local0 & 0x08\)\)\s*\{\s*Notify \(S03, One\)/);
    expect(dsdt).toMatch(/Local0 = SLTQ[^]*If \(\(Local0 & 0x08\)\)\s*\{\s*Notify \(S03, 0x03\)/);
    expect(dsdt).toMatch(/Scope \(\\_GPE\)\s*\{\s*Method \(_E01, 0, NotSerialized\)[^}]*\\_SB\.PCI0\.SLTS \(\)/);
    const facp = listing('facp', whole(fadt));
    expect(facp).toMatch(/PM1A Event Block Address : 00000600/);
    expect(facp).toMatch(/GPE0 Block Address : 0000060C/);
    expect(facp).toMatch(/Value to cause reset : 06/);
    expect(facp).toMatch(/8042 Present on ports 60\/64 \(V2\) : 1/);
    expect(facp).not.toMatch(/Invalid|Error|error/);
    const apic = listing('apic', whole(u32(xsdt + 44)));
    expect(apic.match(/Processor Local APIC/g)?.length).toBe(2);
    expect(apic).toMatch(/Source : 00\s.*Interrupt : 00000002/);
    // Compiling the listing again must give the same bytes.
    execFileSync(iasl, ['-oa', '-p', 'again', 'dsdt.dsl'], { cwd: folder, stdio: 'pipe' });
    expect(readFileSync(join(folder, 'again.aml')).subarray(36)).toEqual(Buffer.from(whole(u32(fadt + 40)).subarray(36)));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('describes high precision event timers where there are some', () => {
  const { base, rsdp, bytes } = buildAcpiTables({ ...MACHINE, hpet: { base: 0xfed0_0000, bytes: 0x400, id: 0x8086_2201 } });
  const view = new DataView(bytes.buffer);
  const xsdt = view.getUint32(rsdp - base + 24, true);
  const table = view.getUint32(xsdt - base + 52, true) - base;
  expect(String.fromCharCode(...bytes.subarray(table, table + 4))).toBe('HPET');
  expect([view.getUint32(table + 4, true), view.getUint32(table + 36, true), view.getUint8(table + 40), view.getUint32(table + 44, true), view.getUint8(table + 52)]).toEqual([56, 0x8086_2201, 0, 0xfed0_0000, 0]);
  expect(bytes.subarray(table, table + 56).reduce((sum, byte) => (sum + byte) & 0xff, 0)).toBe(0);
});
