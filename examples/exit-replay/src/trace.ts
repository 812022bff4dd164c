/**
 * Exits of a processor in order, one a line:
 *
 *   DISTANCE KIND ADDRESS BYTES
 *
 * DISTANCE: instructions since the exit before, decimal; KIND: i and o for ports, r and w for memory; ADDRESS: hexadecimal.
 * Lines that begin with # are for people.
 */
export interface Exit {
  readonly distance: number;
  readonly isWrite: boolean;
  readonly isPort: boolean;
  readonly address: number;
  readonly bytes: 1 | 2 | 4;
}

const KINDS = 'iorw';

export const exitText = ({ distance, isWrite, isPort, address, bytes }: Exit): string => `${distance} ${KINDS[(isPort ? 0 : 2) + (isWrite ? 1 : 0)]!} ${address.toString(16)} ${bytes}`;

/** Throws RangeError that names the line. */
export function parseTrace(text: string): Exit[] {
  const exits: Exit[] = [];
  for (const [number, line] of text.split('\n').entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const found = /^(\d{1,15}) ([iorw]) ([0-9a-f]{1,13}) ([124])$/.exec(line);
    if (found === null) throw new RangeError(`trace, line ${number + 1}: expected a distance, a kind, an address and 1, 2 or 4, got ${line}`);
    const kind = KINDS.indexOf(found[2]!);
    exits.push({ distance: Number(found[1]), isWrite: kind % 2 === 1, isPort: kind < 2, address: Number.parseInt(found[3]!, 16), bytes: Number(found[4]) as 1 | 2 | 4 });
  }
  return exits;
}
