import { itReboots } from './kernel-reboot.ts';

// When one way does not work, Linux takes the next, and its last is a triple fault: that would not end in a reset.
itReboots({ how: 'by the keyboard controller', parameter: 'reboot=k' });
itReboots({ how: 'by the reset register of the chipset', parameter: 'reboot=p' });
