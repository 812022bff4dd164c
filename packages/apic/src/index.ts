export { ApicBus, type ApicBusListener } from './apic-bus.ts';
export { type ApicFabric, type ApicFabricOptions, createApicFabric } from './apic-fabric.ts';
export { IoApic, type IoApicPorts, type IoApicState } from './io-apic.ts';
export { LocalApic } from './local-apic.ts';
export type { ApicProcessor, ExternalInterrupts, LocalApicOptions, LocalApicState } from './local-apic-ports.ts';
export type { ApicClock, ApicTimerState } from './local-apic-timer.ts';
export { isMsiAddress, sendMsi } from './msi.ts';
export { Pic8259, type Pic8259State } from './pic8259.ts';
export type { Pic8259ChipState } from './pic8259-chip.ts';
