import { expect, it } from 'vitest';
import { probeKvm } from '@vm/vcpu-kvm';
import { chooseEngine, withEngine } from './engine-choice.ts';
import { UsageError } from './usage-error.ts';

const HOST = { clock: 'host' } as const;

it('the software engine is what was asked for, without a word', () => {
  expect(chooseEngine('wasm', HOST)).toEqual({ name: 'wasm', without: [], text: null });
});

it('KVM is refused what it has not, and auto says why it does without', () => {
  for (const [more, told] of [[{ clock: 'virtual' }, '--clock virtual'], [{ ...HOST, shadow: 'cached' }, '--shadow'], [{ ...HOST, enlighten: 'kvm' }, '--enlighten kvm'], [{ ...HOST, traceHot: 20 }, '--trace-hot']] as const) {
    expect(() => chooseEngine('kvm', more)).toThrow(new UsageError(`--engine kvm: ${told} is for the software engine only`));
    expect(chooseEngine('auto', more)).toEqual({ name: 'wasm', without: [], text: `the software engine, because of ${told}` });
  }
});

it('auto is what the probe allows, with its line', () => {
  const { usable, text } = probeKvm();
  const { name, text: told } = chooseEngine('auto', HOST);
  if (!usable) expect(name).toBe('wasm');
  expect(told).toContain(text);
});

it('the settings of a machine get the engine, and what its processor goes without', () => {
  const asked = { ...HOST, memoryBytes: 1 << 20, onReset: 'boot' } as const;
  expect(withEngine(asked, undefined, undefined)).toBe(asked);
  expect(withEngine({ ...asked, cpuWithout: ['aes'] }, 'wasm', undefined)).toEqual({ ...asked, engine: 'wasm', cpuWithout: ['aes'] });
});

it('processors in threads are those of KVM, without blocks behind exits', () => {
  const asked = { ...HOST, memoryBytes: 1 << 20, onReset: 'boot', kvmThreads: true } as const;
  for (const choice of [undefined, 'wasm'] as const) expect(() => withEngine(asked, choice, undefined)).toThrow(new UsageError('--kvm-threads is for --engine kvm or auto'));
  for (const blocks of [{ compound: 'adaptive' }, { handoff: 'each' }] as const) expect(() => withEngine({ ...asked, ...blocks }, 'kvm', undefined)).toThrow(new UsageError('--kvm-threads: accesses cannot be compounded with processors in threads'));
});

it('the kernel has the local APICs under KVM, and not what it cannot do with them', () => {
  const asked = { ...HOST, memoryBytes: 1 << 20, onReset: 'boot', kvmChip: 'kernel' } as const;
  for (const choice of [undefined, 'wasm'] as const) expect(() => withEngine(asked, choice, undefined)).toThrow(new UsageError('--kvm-chip is for --engine kvm or auto'));
  const lacks = [[{ cpus: 2 }, 'several processors need threads'], [{ compound: 'adaptive' }, 'accesses cannot be compounded with it'], [{ eoi: 'selective' }, 'it has no end of a chosen vector'], [{ apic: 'none' }, 'a processor without a local APIC has none in the kernel']] as const;
  for (const [settings, why] of lacks) expect(() => withEngine({ ...asked, ...settings }, 'kvm', undefined)).toThrow(new UsageError(`--kvm-chip kernel: ${why}`));
});
