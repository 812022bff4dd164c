/** What a command does. */
export interface Transfer {
  readonly command: number;
  readonly kind: 'none' | 'identify' | 'read' | 'write' | 'verify' | 'flush' | 'features' | 'multiple' | 'power' | 'diagnose' | 'native';
  readonly dma: boolean;
  readonly wide: boolean; // addresses of 48 bits
  readonly multiple: boolean; // several sectors for each interrupt
}

// Command codes (ATA/ATAPI-6, annex B). Others are aborted.
const READS = [[0x20, ''], [0x21, ''], [0x24, 'wide'], [0x29, 'wide multiple'], [0xc4, 'multiple'], [0xc8, 'dma'], [0xc9, 'dma'], [0x25, 'dma wide']] as const;
const WRITES = [[0x30, ''], [0x31, ''], [0x34, 'wide'], [0x39, 'wide multiple'], [0xc5, 'multiple'], [0xca, 'dma'], [0xcb, 'dma'], [0x35, 'dma wide']] as const;
const VERIFIES = [[0x40, ''], [0x41, ''], [0x42, 'wide']] as const;
const OTHERS: Readonly<Record<number, Transfer['kind']>> = {
  0x10: 'none', 0x91: 'none', 0x94: 'none', 0x95: 'none', 0x96: 'none', 0x97: 'none', 0xe0: 'none', 0xe1: 'none', 0xe2: 'none', 0xe3: 'none', 0xe6: 'none',
  0xec: 'identify', 0xe7: 'flush', 0xea: 'flush', 0xef: 'features', 0xc6: 'multiple', 0xe5: 'power', 0x98: 'power', 0x90: 'diagnose', 0xf8: 'native',
};

const COMMANDS = new Map<number, Transfer>([
  ...READS.map(([command, how]) => [command, transfer(command, 'read', how)] as const),
  ...WRITES.map(([command, how]) => [command, transfer(command, 'write', how)] as const),
  ...VERIFIES.map(([command, how]) => [command, transfer(command, 'verify', how)] as const),
  ...Object.entries(OTHERS).map(([command, kind]) => [Number(command), transfer(Number(command), kind, '')] as const),
  [0x27, transfer(0x27, 'native', 'wide')],
]);

export function findCommand(code: number): Transfer | null {
  return COMMANDS.get(code) ?? null;
}

function transfer(command: number, kind: Transfer['kind'], how: string): Transfer {
  return { command, kind, dma: how.includes('dma'), wide: how.includes('wide'), multiple: how.includes('multiple') };
}
