import { helloGuest } from './hello-guest.ts';
import { runMonitor } from './run-monitor.ts';

const { output, code } = await runMonitor(helloGuest('hello from 32-bit ring 0', 7), { excursion: 'avoid' });
console.log(`${output}the guest ended with ${code}`);
