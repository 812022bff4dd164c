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
  const words = /^[\w.+-]{1,32}$/.test(term) ? [`vm.term=${term}`] : [];
  if (output.rows !== undefined && output.columns !== undefined && output.rows > 0 && output.columns > 0) words.push(`vm.rows=${output.rows}`, `vm.cols=${output.columns}`);
  return words.join(' ');
}
