export { hostBridge, type HostBridgeConfig } from './host-bridge.ts';
export { PciBus, type PciBusConfig, type PciRanges, type PciSlot } from './pci-bus.ts';
export { pciCapability } from './pci-capability.ts';
export { HOTPLUG_ARRIVED, HOTPLUG_ASKED, HOTPLUG_BYTES, HOTPLUG_EJECT, pciHotplug, type PciHotplugConfig, type PciHotplugEnd } from './pci-hotplug.ts';
export { type PciBar, type PciCapability, type PciDescription, PciFunction, type PciServices } from './pci-function.ts';
