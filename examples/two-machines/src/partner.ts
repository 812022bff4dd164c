// The second of the two machines, in a process of its own: its channel is the pipe to the first one's.
import { PartitionLink, processChannel } from '@vm/pc';
import { CONNECTION } from './counting-guest.ts';
import { AT, bootCounting } from './two-machines.ts';

await using guest = await bootCounting(false);
const link = new PartitionLink(guest, processChannel(process));
link.outgoing(CONNECTION);
link.incoming(CONNECTION, AT);
process.stdout.write(await guest.waitFor(process.argv[2]!));
link.close();
process.disconnect();
