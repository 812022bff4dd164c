import { itReboots } from './kernel-reboot.ts';

itReboots({ how: 'as ACPI says', parameter: '' });
for (const processors of [1, 3]) {
  itReboots({ how: 'by the keyboard controller', parameter: 'reboot=k', processors });
  itReboots({ how: 'by the reset register of the chipset', parameter: 'reboot=p', processors });
  itReboots({ how: 'by a triple fault', parameter: 'reboot=t', processors, tripleFaults: 1 });
}
