import { device, type DeviceSpec } from '@vm/core';
import { postPort, testdev, type TestdevConfig } from '@vm/device-testdev';

const LINES = 24;
const NOWHERE = LINES; // a pin that nothing listens to

/**
 * The devices that bare-metal test programs look for, for a board of `createPc`. Their lines are inputs of the I/O APIC: the
 * board's line 0 arrives at input 2, and nothing at input 0.
 */
export function testDevices(config: Pick<TestdevConfig, 'exit' | 'shutdown' | 'echoBytes'>): DeviceSpec {
  const pins = Array.from({ length: LINES }, (_, line) => (line === 0 ? NOWHERE : line === 2 ? 0 : line));
  return device('testdev', testdev, { ...config, pins });
}

/** Ports that take bytes of progress, as of a diagnostics card. */
export function postPorts(ports: readonly number[], progress: (byte: number) => void): readonly DeviceSpec[] {
  return ports.map((port) => device(`post-${port.toString(16)}`, postPort, { port, progress }));
}
