import type { ResourceClaim } from '@vm/core/directory';

/** What decides about the devices of a board. */
export interface BoardParts {
  readonly ramBytes: number;
  readonly firmwareBytes?: number; // of a ROM, which ends at 4 GiB
  readonly disks?: readonly ('virtio' | 'ata')[];
  readonly hpet?: boolean;
  readonly synthetic?: boolean; // enlightened as hyperv-full
  /** The configuration port and the test devices that programs without an operating system find. */
  readonly bare?: { readonly postPorts: readonly number[]; readonly charPort: number | null };
}

type Rows = readonly (readonly [device: string, name: string, base: number, bytes: number])[];

const PORTS: Rows = [
  ['pic', 'master', 0x20, 2],
  ['pit', 'counters', 0x40, 4],
  ['i8042', 'data', 0x60, 1],
  ['pit', 'port-b', 0x61, 1],
  ['i8042', 'command', 0x64, 1],
  ['rtc', 'registers', 0x70, 2],
  ['i8042', 'system', 0x92, 1],
  ['pic', 'slave', 0xa0, 2],
  ['coprocessor-error', 'busy', 0xf0, 1],
  ['com1', 'registers', 0x3f8, 8],
  ['pic', 'level', 0x4d0, 2],
  ['acpi-pm', 'block', 0x600, 16],
  ['pci-hotplug', 'slots', 0x620, 12],
  ['host-bridge', 'address', 0xcf8, 4],
  ['host-bridge', 'data', 0xcfc, 4],
];
const IDE_PORTS: Rows = [
  ['ide', 'command1', 0x170, 8],
  ['ide', 'command0', 0x1f0, 8],
  ['ide', 'control1', 0x376, 1],
  ['ide', 'control0', 0x3f6, 1],
];
const TEST_PORTS: Rows = [
  ['testdev', 'echo', 0xe0, 4],
  ['testdev', 'forget', 0xe4, 4],
  ['testdev', 'exit', 0xf4, 4],
  ['fw-cfg', 'registers', 0x510, 2],
  ['testdev', 'lines', 0x2000, 27],
  ['testdev', 'shutdown', 0x8900, 1],
];
const LINES: readonly (readonly [device: string, pin: number, shared?: boolean])[] = [
  ['pit', 0], ['i8042', 1], ['pic', 2], ['com1', 4], ['rtc', 8], ['acpi-pm', 9], ['host-bridge', 10, true], ['host-bridge', 11, true], ['i8042', 12], ['coprocessor-error', 13],
  ['host-bridge', 16, true], ['host-bridge', 17, true], ['host-bridge', 18, true], ['host-bridge', 19, true],
];
const HPET_PINS = [20, 21, 22, 23];
const LOW_RAM_MOST = 0xc000_0000;
const FOUR_GIB = 2 ** 32;

/** The ports, memory and pins that the board of `createPc` has taken before any other device is asked. */
export function boardClaims({ ramBytes, firmwareBytes = 0, disks = [], hpet = false, synthetic = false, bare }: BoardParts): readonly ResourceClaim[] {
  const ata = disks.includes('ata');
  const ports: Rows = [
    ...PORTS,
    ...(ata ? IDE_PORTS : []),
    ...(bare === undefined || !synthetic ? [] : [['synthetic-test', 'control', 0x3000, 4] as const]),
    ...(bare === undefined ? [] : [...TEST_PORTS, ...testPorts(bare)]),
    ['pci', 'windows', 0xc000, 0x4000],
  ];
  const low = Math.min(ramBytes, LOW_RAM_MOST);
  const memory: Rows = [
    ['ram', 'low', 0, Math.max(low, 0x10_0000)],
    ['pci', 'windows', 0xe000_0000, 0xfec0_0000 - 0xe000_0000],
    ['io-apic', 'registers', 0xfec0_0000, 0x1000],
    ...(hpet ? [['hpet', 'registers', 0xfed0_0000, 0x400] as const] : []),
    ['local-apic', 'registers', 0xfee0_0000, 0x1000],
    ...(bare === undefined ? [] : [['testdev', 'memory', 0xff00_0000, 0x1_0000] as const]),
    ...(firmwareBytes === 0 ? [] : [['rom', 'firmware', FOUR_GIB - firmwareBytes, firmwareBytes] as const]),
    ...(ramBytes > low ? [['ram', 'high', FOUR_GIB, ramBytes - low] as const] : []),
  ];
  const lines = [...LINES, ...(ata ? ([['ide', 14], ['ide', 15]] as const) : []), ...(hpet ? HPET_PINS.map((pin) => ['hpet', pin] as const) : [])];
  return [
    ...ports.map(([device, name, base, bytes]) => ({ device, kind: 'ports' as const, name, base, bytes })),
    ...memory.map(([device, name, base, bytes]) => ({ device, kind: 'memory' as const, name, base, bytes })),
    ...lines.map(([device, base, shared = false]) => ({ device, kind: 'line' as const, name: 'line', base, bytes: 1, shared })),
  ];
}

/** The port of text stands in the place of a register that is there byte by byte. */
function testPorts({ postPorts, charPort }: NonNullable<BoardParts['bare']>): Rows {
  const inside = charPort !== null && charPort >= 0xe8 && charPort <= 0xeb;
  return [
    ...postPorts.map((port) => [`post-${port.toString(16)}`, 'progress', port, 1] as const),
    ...(inside ? [] : [['testdev', 'echo-bytes', 0xe8, 4] as const]),
    ...(charPort === null ? [] : [['console-port', 'data', charPort, 1] as const]),
  ];
}
