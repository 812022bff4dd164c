export { type AcpiButtons, acpiPm, type AcpiPmConfig } from './acpi-pm.ts';
