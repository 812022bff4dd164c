import type { TerminalStreams } from './terminal.ts';

/** What a guest whose input and output are no terminal is told. */
export const NO_TERMINAL = 'vm.term=dumb';

/**
 * Words for the kernel's command line that tell the guest what is on the other side of its serial port, which the wire itself
 * cannot: the kernel ignores them, and an init that knows them sets up its terminal. The size is the one at power-up.
 */
export function terminalWords({ input, output }: TerminalStreams, env: Readonly<Record<string, string | undefined>>): string {
  if (input.isTTY !== true || output.isTTY !== true) return NO_TERMINAL;
  const { TERM: term = '' } = env;
  const size = sizeOf(output);
  const words = /^[\w.+-]{1,32}$/.test(term) ? [`vm.term=${term}`] : [];
  if (size !== null) words.push(`vm.rows=${size.rows}`, `vm.cols=${size.columns}`);
  return words.join(' ');
}

/** What a shell is typed when the window has another size: a serial line has no other way to tell. Empty: the size is not known. */
export function sizeCommand(output: TerminalStreams['output']): string {
  const size = sizeOf(output);
  return size === null ? '' : `stty rows ${size.rows} cols ${size.columns}\r`;
}

function sizeOf({ rows = 0, columns = 0 }: TerminalStreams['output']): { readonly rows: number; readonly columns: number } | null {
  return rows > 0 && columns > 0 ? { rows, columns } : null;
}
