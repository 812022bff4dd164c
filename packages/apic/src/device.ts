export { ioApic, type IoApicConfig } from './io-apic-device.ts';
export { pic8259, type Pic8259Config } from './pic8259-device.ts';
