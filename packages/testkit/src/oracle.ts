import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export { type ExcusedCases, Excuses, noteCases, type SuiteCases } from './conformance.ts';

/** The part of vitest's `it` that is used here, so that the testkit needs no test runner. */
export interface TestApi {
  (name: string, body: () => void | Promise<void>): void;
  skip(name: string, body: () => void | Promise<void>): void;
}

/** Path of an outside program, or of a file that is named with its path; null when this host has none. */
export function findOracle(tool: string): string | null {
  if (tool.startsWith('/')) return isThere(tool, constants.R_OK) ? tool : null;
  for (const folder of (process.env['PATH'] ?? '').split(delimiter).concat('/usr/sbin', '/sbin')) {
    const path = join(folder, tool);
    if (isThere(path, constants.X_OK)) return path;
  }
  return null;
}

function isThere(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

/**
 * A test that compares with an outside program. Where there is none the test is left out, and the test run counts it under
 * the name of the tool; with VM_REQUIRE_ORACLES=1 it fails.
 */
export function itWithOracle(it: TestApi, tool: string, name: string, body: (path: string) => void | Promise<void>): void {
  const path = findOracle(tool);
  const title = `${name} [needs ${tool}]`;
  if (path !== null) it(title, () => body(path));
  else if (process.env['VM_REQUIRE_ORACLES'] === '1') it(title, () => Promise.reject(new Error(`${tool} is not installed, see tools/oracles.txt`)));
  else it.skip(title, () => undefined);
}
