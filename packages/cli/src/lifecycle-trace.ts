import type { MachineOptions } from '@vm/core';

/** Lines of a trace: a phase of the machine by itself, hooks of devices with the time they took. */
export function traceLifecycle(tell: (line: string) => void): NonNullable<MachineOptions['trace']> {
  return (step, device, nanos) => tell(device === null ? `vm: trace: ${step}` : `vm: trace:   ${device}.${step} ${formatMicroseconds(nanos)}`);
}

function formatMicroseconds(nanos: number): string {
  return nanos >= 1e6 ? `${(nanos / 1e6).toFixed(1)} ms` : `${(nanos / 1e3).toFixed(1)} µs`;
}
