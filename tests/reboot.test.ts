import { itReboots } from './kernel-reboot.ts';

itReboots({ how: 'as ACPI says', parameter: '', processors: 2 });
