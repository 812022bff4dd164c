import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

type Basis = Readonly<Record<string, string>>;
interface Stored<Round> { readonly basis: Basis; readonly rounds: Record<string, Round[]> }

const FOLDER = fileURLToPath(new URL('../node_modules/.cache/vm-bench/', import.meta.url));

/** Finished rounds of a long benchmark in a file, so that one that was broken off goes on where it was. */
export class RoundCache<Round> {
  readonly #path: string;
  readonly #stored: Stored<Round>;

  /** `basis`: what all rounds have in common. Rounds of another basis are refused when the benchmark is to go on, else forgotten. */
  constructor(name: string, given: Basis, resume: boolean) {
    this.#path = `${FOLDER}${name}.json`;
    const basis = { ...given, version: versionOfSources() };
    const before = resume ? this.#read() : null;
    const different = before === null ? [] : Object.keys({ ...basis, ...before.basis }).filter((key) => (basis as Basis)[key] !== before.basis[key]);
    if (different.length > 0) throw new Error(`--resume: the rounds in ${this.#path} were of another run: ${different.map((key) => `${key} was ${before!.basis[key]}, now it is ${(basis as Basis)[key]}`).join('; ')}`);
    this.#stored = before ?? { basis, rounds: {} };
  }

  rounds(set: string): readonly Round[] { return this.#stored.rounds[set] ?? []; }
  add(set: string, round: Round): void {
    (this.#stored.rounds[set] ??= []).push(round);
    mkdirSync(dirname(this.#path), { recursive: true });
    writeFileSync(this.#path, JSON.stringify(this.#stored));
  }

  #read(): Stored<Round> | null {
    try {
      return JSON.parse(readFileSync(this.#path, 'utf8')) as Stored<Round>;
    } catch {
      return null;
    }
  }
}

/** The commit, and what has changed since in what is measured. */
function versionOfSources(): string {
  try {
    const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8', cwd: fileURLToPath(new URL('..', import.meta.url)), maxBuffer: 64 << 20, stdio: ['ignore', 'pipe', 'ignore'] });
    const changes = git('diff', 'HEAD', '--', 'packages', 'bench');
    return `${git('rev-parse', '--short', 'HEAD').trim()}${changes === '' ? '' : `+${createHash('sha256').update(changes).digest('hex').slice(0, 8)}`}`;
  } catch {
    return 'unknown';
  }
}
