import { CR0_ET, CR0_PE, CR0_PG, CR4_PAE, CR4_PCIDE, CR4_PGE, EFER_LMA, EFER_LME, VECTOR_GP } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import type { Operation } from './operation.ts';
import { type PlanOptions, planSwitch } from './planner.ts';
import { execute, isFault, type LegacyFormat, type ProcessorState } from './processor-model.ts';
import { type RefusalCode, SwitchRefusal } from './refusal.ts';
import { sampleSetup } from './sample-setup.ts';
import type { Direction, StepName } from './step.ts';
import { claimedOrders, smallMutations, tryOrder } from './switch-orders.ts';
import { stateOf, type SwitchSetup } from './switch-setup.ts';

const FORMATS: readonly LegacyFormat[] = ['32-bit', 'pae', 'unpaged'];
const DIRECTIONS: readonly Direction[] = ['to-legacy', 'to-long'];

function refusal(setup: SwitchSetup, direction: Direction = 'to-legacy', options: PlanOptions = {}): SwitchRefusal | null {
  try {
    planSwitch(setup, direction, options);
    return null;
  } catch (error) {
    if (error instanceof SwitchRefusal) return error;
    throw error;
  }
}
const claimedIn = (setup: SwitchSetup, direction: Direction, options: PlanOptions = {}): readonly number[] =>
  planSwitch(setup, direction, { all: true, ...options }).steps.map(({ claimed }) => claimed).filter((number) => number > 0);

describe('LMS-01: the claimed order', () => {
  it.each(DIRECTIONS)('holds %s: page, copy, jump, translation off, mode bit, page table, translation on', (direction) => {
    for (const format of ['32-bit', 'pae'] as const) expect(claimedIn(sampleSetup(format), direction)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('has a variant with the order of the manual, which loads the page table before the mode bit', () => {
    for (const direction of DIRECTIONS) {
      const setup = sampleSetup('pae');
      const names = planSwitch(setup, direction, { order: 'manual' }).steps.map(({ name }) => name);
      expect(names.indexOf('page-table')).toBe(names.indexOf('mode-bit') - 1);
      expect(planSwitch(setup, direction, { order: 'manual' }).to).toEqual(planSwitch(setup, direction).to);
    }
  });
});

describe('LMS-05: what the manual forbids faults, and no plan comes to it', () => {
  const setup = sampleSetup('32-bit');
  const host = stateOf(setup, 'host');
  const inPage: ProcessorState = { ...host, at: 'page', copied: true, mapped: { host: true, legacy: true }, gdt: 'page', interrupts: false };
  const compatible: ProcessorState = { ...inPage, bits: 32, cr4: CR4_PAE };
  const off: ProcessorState = { ...compatible, cr0: CR0_PE, efer: EFER_LME };
  const forbidden: readonly (readonly [string, ProcessorState, Operation])[] = [
    ['translation off in 64-bit code', { ...inPage, cr4: CR4_PAE }, { kind: 'cr0', value: CR0_PE }],
    ['EFER.LME changed while there is translation', compatible, { kind: 'efer', value: 0 }],
    ['long mode without CR4.PAE', { ...off, cr4: 0 }, { kind: 'cr0', value: (CR0_PG | CR0_PE) >>> 0 }],
    ['CR4.PAE cleared in long mode', compatible, { kind: 'cr4', value: 0 }],
    ['CR4.PCIDE outside long mode', off, { kind: 'cr4', value: CR4_PAE | CR4_PCIDE }],
    ['CR4.PCIDE while CR3 has low bits', { ...compatible, rootLow: 5 }, { kind: 'cr4', value: CR4_PAE | CR4_PCIDE }],
    ['translation off while CR4.PCIDE is set', { ...compatible, cr4: CR4_PAE | CR4_PCIDE }, { kind: 'cr0', value: CR0_PE }],
    ['long mode from a 64-bit code segment', { ...off, bits: 64 }, { kind: 'cr0', value: (CR0_PG | CR0_PE) >>> 0 }],
    ['translation without protection', off, { kind: 'cr0', value: (CR0_PG | CR0_ET) >>> 0 }],
    ['a busy task state segment', compatible, { kind: 'load-task', world: 'legacy' }],
  ];
  it.each(forbidden)('%s', (_name, state, operation) => {
    const result = execute(state, operation, '32-bit');
    expect(isFault(result) && result.vector).toBe(VECTOR_GP);
  });

  for (const format of FORMATS) {
    it.each(DIRECTIONS)(`all orders of the claimed steps, ${format}, %s: the planner passes none that does not come to the same state`, (direction) => {
      const given = sampleSetup(format);
      const { to } = planSwitch(given, direction, { all: true });
      let accepted = 0;
      let tried = 0;
      let faults = 0;
      for (const names of claimedOrders(given, direction)) {
        tried++;
        const end = tryOrder(given, direction, names);
        if (isFault(end)) faults++;
        if (refusal(given, direction, { steps: names }) !== null) continue;
        accepted++;
        expect(end, names.join(' ')).toEqual(to);
      }
      expect(tried).toBe(format !== 'unpaged' ? 5040 : direction === 'to-legacy' ? 120 : 720);
      expect(faults).toBeGreaterThan(tried / 3);
      expect(accepted).toBeGreaterThan(0);
    });

    it.each(DIRECTIONS)(`every omission and every exchange of neighbours, ${format}, %s: likewise`, (direction) => {
      const given = sampleSetup(format);
      const { to } = planSwitch(given, direction, { all: true });
      const refused: StepName[][] = [];
      for (const names of smallMutations(given, direction)) {
        if (refusal(given, direction, { steps: names }) !== null) refused.push([...names]);
        else expect(tryOrder(given, direction, names), names.join(' ')).toEqual(to);
      }
      expect(refused.length).toBeGreaterThan(15);
    });
  }
});

describe('what cannot be is refused before anything runs', () => {
  const refused = (changes: Partial<SwitchSetup>, code: RefusalCode, text: RegExp): void => {
    const error = refusal(sampleSetup('32-bit', changes));
    expect([error?.code, error?.message]).toEqual([code, expect.stringMatching(text)]);
  };

  it('LMS-06: a page that is not at its own address in both tables', () => {
    const page = 0x9_0000;
    refused({ establish: false, mappedAt: { host: page, legacy: null } }, 'E_IDENTITY', /not mapped in the tables of the legacy side/);
    refused({ establish: false, mappedAt: { host: 0x8_0000, legacy: page } }, 'E_IDENTITY', /at 0x80000 in the tables of the 64-bit side/);
    expect(refusal(sampleSetup('32-bit', { establish: false, mappedAt: { host: page, legacy: page } }))).toBeNull();
  });

  it('LMS-07: tables, descriptors or the page where 32-bit code does not reach', () => {
    const { host, legacy } = sampleSetup('32-bit');
    refused({ page: 2 ** 32 }, 'E_ADDRESS', /the page of the transition at 0x100000000: it has to be below 4 GiB/);
    refused({ page: 2 ** 32 - 0x1000 }, 'E_ADDRESS', /below 4 GiB/); // the descriptors in the second page
    refused({ host: { ...host, cr3: 2 ** 32 + 0x1000 } }, 'E_ADDRESS', /the page tables of the 64-bit side at 0x100001000/);
    refused({ legacy: { ...legacy, cr3: 2 ** 33 } }, 'E_ADDRESS', /the page tables of the legacy side/);
  });

  it('memory that overlaps, and what is not at a page', () => {
    refused({ memory: [{ name: 'the guest', start: 0x9_1000, end: 0xa_0000 }] }, 'E_OVERLAP', /the page of the transition \(0x90000 to 0x92000\) and the guest \(from 0x91000\) overlap/);
    refused({ page: 0x9_0010 }, 'E_ALIGNMENT', /0x90010/);
  });

  it('control registers that do not go together', () => {
    const { host, legacy } = sampleSetup('32-bit');
    refused({ host: { ...host, cr4: 0 } }, 'E_FEATURE', /not in long mode/);
    refused({ legacy: { ...legacy, efer: EFER_LME } }, 'E_FEATURE', /cannot have EFER.LME/);
    refused({ legacy: { ...legacy, cr4: CR4_PCIDE } }, 'E_FEATURE', /cannot have CR4.PCIDE/);
    refused({ legacy: { ...legacy, cr4: CR4_PAE } }, 'E_FEATURE', /is 32-bit, and its CR0 and CR4 are those of one that is pae/);
    refused({ legacy: { ...legacy, cr0: CR0_ET } }, 'E_FEATURE', /unpaged|protected mode/);
  });

  it('steps that do not exist, and plans without an end', () => {
    expect(refusal(sampleSetup('32-bit'), 'to-legacy', { steps: ['leave-page'] })?.message).toMatch(/there is no step leave-page/);
    expect(refusal(sampleSetup('32-bit'), 'to-legacy', { steps: ['interrupts-off'] })?.message).toMatch(/after the last step/);
  });
});

describe('LMS-08: NMIs', () => {
  it('find gates of the page from before the jump to behind the return, whatever the step', () => {
    for (const format of FORMATS) {
      for (const direction of DIRECTIONS) {
        const setup = sampleSetup(format);
        const { steps } = planSwitch(setup, direction);
        let state = stateOf(setup, direction === 'to-legacy' ? 'host' : 'legacy');
        for (const { name, does } of steps) {
          for (const operation of does) {
            state = execute(state, operation, format) as ProcessorState;
            // Gates of the host only where it runs; gates of the legacy side only in its mode.
            const long = (state.efer & EFER_LMA) !== 0;
            expect(state.idt === 'page' || (state.idt === 'host' ? state.at === 'host' : !long), name).toBe(true);
          }
        }
      }
    }
  });
});

describe('LMS-09: translations', () => {
  it('of one world are gone in the other, global ones too', () => {
    for (const format of ['32-bit', 'pae'] as const) {
      const setup = sampleSetup(format);
      const there = planSwitch(setup, 'to-legacy');
      expect([there.from.globals.host, there.to.globals]).toEqual([true, { host: false, legacy: true }]);
      const back = planSwitch(setup, 'to-long');
      expect([back.from.globals.legacy, back.to.globals.legacy]).toEqual([true, false]);
      expect(back.to.cr4 & CR4_PGE).toBe(CR4_PGE);
    }
  });
});

describe('LMS-10: task state segments', () => {
  it('are marked free before they are loaded, on both sides', () => {
    for (const direction of DIRECTIONS) {
      const operations = planSwitch(sampleSetup('32-bit'), direction).steps.flatMap(({ does }) => does).map(({ kind }) => kind);
      expect(operations.indexOf('free-task')).toBe(operations.indexOf('load-task') - 1);
    }
  });
});

describe('LMS-13: each part of the method is a step of its own', () => {
  it('with what it needs, what it does, and what holds then', () => {
    for (const direction of DIRECTIONS) {
      const { steps } = planSwitch(sampleSetup('32-bit'), direction, { all: true });
      for (const step of steps) expect([step.does.length > 0, step.ensures.length > 0], step.name).toEqual([true, true]);
      expect(new Set(steps.filter(({ claimed }) => claimed > 0).map(({ name }) => name))).toEqual(new Set(['establish-page', 'copy-code', 'jump', 'paging-off', 'mode-bit', 'page-table', 'paging-on']));
    }
  });
});

describe('reloads that the target does not need', () => {
  it('are dropped, each with its reason', () => {
    const setup = sampleSetup('pae', { prepared: true, legacyTask: false });
    const lean = planSwitch({ ...setup, host: { ...setup.host, cr4: CR4_PAE }, legacy: { ...setup.legacy, cr4: CR4_PAE } }, 'to-legacy');
    expect(lean.dropped.map(({ name }) => name)).toEqual(['establish-page', 'copy-code', 'trim', 'extensions', 'task']);
    expect(lean.dropped.every(({ why }) => why.length > 0)).toBe(true);
    expect(lean.steps.length).toBe(planSwitch(setup, 'to-legacy', { all: true }).steps.length - 5);
  });
});
