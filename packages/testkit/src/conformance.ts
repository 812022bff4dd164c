import { appendFileSync } from 'node:fs';

/** Why some cases of a suite were not run: how many, by the form of instruction or whatever else they are sorted by. */
export interface ExcusedCases {
  readonly reason: string;
  readonly forms: Readonly<Record<string, number>>;
}

/** What one test of a suite has done. */
export interface SuiteCases {
  readonly suite: string; // its name in the list of suites
  readonly run: number;
  readonly passed: number;
  readonly excused?: readonly ExcusedCases[];
}

/** Tells whoever gathers the results of the suites, at the place that VM_CONFORMANCE names; nothing happens without. */
export function noteCases(cases: SuiteCases): void {
  const path = process.env['VM_CONFORMANCE'];
  if (path !== undefined && path !== '') appendFileSync(path, `${JSON.stringify(cases)}\n`);
}

/** Counts the cases that are excused, by reason and form. */
export class Excuses {
  readonly #reasons = new Map<string, Map<string, number>>();

  add(reason: string, form: string): void {
    const forms = this.#reasons.get(reason) ?? new Map<string, number>();
    this.#reasons.set(reason, forms);
    forms.set(form, (forms.get(form) ?? 0) + 1);
  }

  get count(): number {
    return this.list().reduce((sum, { forms }) => sum + Object.values(forms).reduce((inner, one) => inner + one, 0), 0);
  }

  list(): readonly ExcusedCases[] {
    return Array.from(this.#reasons, ([reason, forms]) => ({ reason, forms: Object.fromEntries(forms) }));
  }
}
