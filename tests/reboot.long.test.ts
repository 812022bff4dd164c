import { itReboots } from './kernel-reboot.ts';

itReboots({ how: 'by the keyboard controller', parameter: 'reboot=k' });
itReboots({ how: 'by the reset register of the chipset', parameter: 'reboot=p' });
itReboots({ how: 'by a triple fault', parameter: 'reboot=t', tripleFaults: 1 });
