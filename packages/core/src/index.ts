export type {
  BaseContext,
  BlockBackend,
  Capability,
  Clock,
  Controller,
  Device,
  DeviceContext,
  DeviceManifest,
  DeviceModule,
  Gpa,
  GuestMemory,
  Host,
  IoHandler,
  IoRegion,
  IoSpace,
  Line,
  Lines,
  LineSink,
  LogLevel,
  Msi,
  Nanos,
  Phase,
  Plain,
  Size,
  Timer,
} from './abi.ts';
export type { Engine, FabricServices, InterruptFabric, InterruptPort, Ram, Vcpu } from './engine.ts';
export { VmError } from './errors.ts';
export type { ErrorCode } from './errors.ts';
export { device } from './device-spec.ts';
export type { DeviceSpec } from './device-spec.ts';
export { createMachine } from './machine.ts';
export type { Machine, MachineOptions } from './machine.ts';
export type { HostPort } from './host-port.ts';
export type { StopReason } from './run-loop.ts';
