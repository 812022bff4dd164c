import { type KvmEngineOptions, kvmLacks, type KvmProbe, probeKvm } from '@vm/vcpu-kvm';
import { it } from 'vitest';

/** What this host's KVM can do, found out once. */
export interface KvmHost {
  readonly probe: KvmProbe;
  /** The least processor of 64 bits, as far as it can be had here. */
  readonly processor: KvmEngineOptions;
}

let found: KvmHost | null = null;

export function kvmHost(): KvmHost {
  if (found !== null) return found;
  const probe = probeKvm();
  const isThere = Object.values(probe.modes).includes(true);
  return (found = { probe, processor: { cpuModel: 'x86-64-v1', cpuWithout: isThere ? kvmLacks({ cpuModel: 'x86-64-v1' }) : [] } });
}

/** A test that needs a KVM which runs guests in `mode`; left out, and counted, where there is none. */
export function itWithKvm(mode: keyof KvmProbe['modes'], name: string, body: () => void | Promise<void>, timeoutMs?: number): void {
  const title = `${name} [needs /dev/kvm]`;
  if (kvmHost().probe.modes[mode]) it(title, body, timeoutMs);
  else it.skip(title, () => undefined);
}
