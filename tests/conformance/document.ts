import type { SuiteResult } from './results.ts';

/** Where and with what the suites were run. */
export interface Surroundings {
  readonly processor: string;
  readonly tools: readonly string[]; // with versions
}

const MOST_FORMS = 80;

/** docs/conformance.md. */
export function formatDocument(results: readonly SuiteResult[], { processor, tools }: Surroundings): string {
  const lines = [
    '# Conformance',
    '',
    'What the software processor and the board were compared with. Written by `npm run conformance -- --write`; every suite is part of',
    '`npm test` too, where some take fewer cases. A suite that lacks its tool is left out and says so. To excuse a case there has to be',
    'a reason, and the forms of instructions that it is for.',
    '',
    '| suite | compared with | run | passed | excused | left out |',
    '| --- | --- | ---: | ---: | ---: | --- |',
    ...results.map(({ suite, run, passed, leftOut, excused }) => `| [${suite.title}](../${suite.file}) | ${suite.oracle} | ${number(run)} | ${number(passed)} | ${number(total(excused))} | ${describe(leftOut)} |`),
    '',
    `Run on: ${processor}. With: ${tools.join(', ')}.`,
    '',
    '## Excused',
    '',
    ...results.filter(({ excused }) => total(excused) > 0).flatMap(({ suite, excused }) => [
      `### ${suite.title}`,
      '',
      ...Object.entries(excused).toSorted((a, b) => sum(b[1]) - sum(a[1])).flatMap(([reason, forms]) => [`- ${reason}: ${number(sum(forms))} ${sum(forms) === 1 ? 'case' : 'cases'}. ${formatForms(forms)}`]),
      '',
    ]),
    '## Not compared',
    '',
    'Parts of a result that the manuals leave to the processor are masked in a case that is otherwise compared; each mask stands with',
    'the section of the manual that it is from.',
    '',
    '- Flags and results of integer and x87 instructions: [`undefined-results.ts`](../packages/vcpu-wasm/src/native/undefined-results.ts).',
    '- Estimates (RCPPS, RSQRTPS), last bits of transcendental functions, NaN payloads: beside the comparisons in',
    '  [`packed-case.ts`](../packages/vcpu-wasm/src/native/packed-case.ts) and [`x87.native.test.ts`](../packages/vcpu-wasm/src/x87.native.test.ts).',
    '- Undefined flags of the 80286: [`real-mode.recorded.test.ts`](../packages/vcpu-wasm/src/real-mode.recorded.test.ts).',
  ];
  return `${lines.join('\n')}\n`;
}

/** By opcode or name, those with most cases first. */
function formatForms(forms: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(forms).toSorted((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const shown = sorted.slice(0, MOST_FORMS).map(([form, count]) => `${form} (${count})`).join(', ');
  return `Forms: ${shown}${sorted.length > MOST_FORMS ? `, and ${sorted.length - MOST_FORMS} more` : ''}.`;
}

function describe(leftOut: Readonly<Record<string, number>>): string {
  return Object.entries(leftOut).map(([why, count]) => `${count} for want of ${why}`).join('; ');
}

function total(excused: SuiteResult['excused']): number {
  return Object.values(excused).reduce((all, forms) => all + sum(forms), 0);
}

function sum(forms: Readonly<Record<string, number>>): number {
  return Object.values(forms).reduce((all, one) => all + one, 0);
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}
