import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { bootGuest, connectPartitions, type Guest, PartitionLink, processChannel, type SourceAddress } from '@vm/pc';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { CONNECTION, countingGuest, LAST, SOURCE, TEXT_PORT } from './counting-guest.ts';

export const AT: SourceAddress = { processor: 0, source: SOURCE };
const EVEN = Array.from({ length: LAST / 2 }, (_, i) => String(2 * i + 2)).join('');
const ODD = Array.from({ length: LAST / 2 }, (_, i) => String(2 * i + 1)).join('');

export function bootCounting(begins: boolean): Promise<Guest<WasmVcpu>> {
  return bootGuest({ engine: wasmEngine(), ramBytes: 4 << 20, kernel: countingGuest(begins), entry: 'multiboot', enlighten: 'hyperv-full', consolePort: TEXT_PORT });
}

/** What each of two machines in this process has said. */
export async function countTogether(): Promise<readonly [first: string, second: string]> {
  await using second = await bootCounting(false);
  await using first = await bootCounting(true);
  connectPartitions(first, CONNECTION, second, AT);
  connectPartitions(second, CONNECTION, first, AT);
  return await Promise.all([first.waitFor(ODD), second.waitFor(EVEN)]);
}

/** The same with the second in a process of its own, src/partner.ts. */
export async function countApart(): Promise<readonly [first: string, second: string]> {
  const partner = fork(fileURLToPath(new URL('partner.ts', import.meta.url)), [EVEN], { execArgv: ['--conditions=vm-source', '--disable-warning=ExperimentalWarning'], stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  let said = '';
  partner.stdout!.on('data', (text: Buffer) => (said += text.toString()));
  const ended = once(partner, 'close');
  try {
    await using first = await bootCounting(true);
    const link = new PartitionLink(first, processChannel(partner));
    link.outgoing(CONNECTION);
    link.incoming(CONNECTION, AT);
    const text = await first.waitFor(ODD);
    await ended;
    link.close();
    return [text, said];
  } finally {
    partner.kill();
  }
}
