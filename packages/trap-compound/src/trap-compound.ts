import { adaptivePolicy, type Weights } from './adaptive-policy.ts';
import { ENDED_COUNT, ENDED_TRAP, ENDINGS, type Ending, type Executor } from './executor.ts';
import { HandoffList, MOST_ACCESSES } from './handoff-list.ts';
import { PollHistory } from './poll-history.ts';
import { type BlockOutcome, type CompoundPolicy, type CompoundPolicyName, fixedPolicy, type Handoff, type Limits } from './policy.ts';

export interface CompoundOptions {
  /** Default `adaptive`. */
  readonly policy?: CompoundPolicyName;
  /** Default `list`. */
  readonly handoff?: Handoff;
  /** Instructions behind a trap, 1 to 4096; default 512. */
  readonly window?: number;
  /** Instructions in a row that do not trap, 0 to 1024; default 128. */
  readonly gap?: number;
  /** Accesses that go in one hand-over, 1 to 64; default 64. */
  readonly accesses?: number;
}

const MOST_WINDOW = 4096;
const MOST_GAP = 1024;
/** Blocks by the number of their trapping instructions: 1, 2, 3-4, 5-8, 9-16, 17-32, 33-64, more. */
const LENGTHS: readonly string[] = ['1', '2', '3-4', '5-8', '9-16', '17-32', '33-64', 'more'];

/** Blocks of one processor: where they begin, what they may do, what they spared. */
export class TrapCompound {
  readonly handoff: Handoff;
  readonly list: HandoffList;
  /** Loops that ask devices; null: they are executed turn by turn. */
  readonly polls: PollHistory | null;
  /** A block can be worth it where no hand-over is spared. */
  readonly paysAlone: boolean;
  readonly #policy: CompoundPolicy | null;
  /** Instructions that trapped outside of blocks. */
  traps = 0;
  blocks = 0;
  /** Trapping instructions that blocks did beside the first: exits that were spared. */
  spared = 0;
  /** Instructions that blocks did and that would not have trapped. */
  between = 0;
  /** Blocks that a device's early answer took back. */
  takenBack = 0;
  /** The longest block, in instructions: what an interrupt may have waited for a device in the machine's thread. */
  longest = 0;
  readonly #lengths = new Uint32Array(LENGTHS.length);
  readonly #endings = new Uint32Array(ENDINGS.length);

  /** Throws RangeError. `waits`: loops that ask a device may be left out, which takes an engine that counts instructions. */
  constructor(options: CompoundOptions, weights: Weights, waits: boolean = true) {
    const window = inRange('window', options.window ?? 512, 1, MOST_WINDOW);
    const gap = inRange('gap', options.gap ?? 128, 0, MOST_GAP);
    const name = options.policy ?? 'adaptive';
    this.handoff = options.handoff ?? 'list';
    this.list = new HandoffList(inRange('accesses', options.accesses ?? MOST_ACCESSES, 1, MOST_ACCESSES));
    this.#policy = name === 'off' ? null : name === 'fixed' ? fixedPolicy({ window, gap }) : adaptivePolicy({ window, gap }, weights);
    this.polls = name === 'off' || !waits ? null : new PollHistory();
    this.paysAlone = name === 'fixed' || (name === 'adaptive' && weights.trap < 1);
  }

  /** Limits of a block behind the trap at `key`, null: there is none. HOT. */
  trapped(key: number): Limits | null {
    this.traps++;
    return this.#policy === null ? null : this.#policy.limits(key);
  }

  /** Does what follows the trap at `key`, as far as the limits and the executor allow. */
  finish(key: number, { window, gap }: Limits, executor: Executor): void {
    const spared = this.list.spared;
    let left = window;
    let traps = 1;
    let widest = 0;
    let ending: Ending = ENDED_COUNT;
    executor.begin();
    while (left > 0) {
      ending = executor.run(Math.min(left, gap + 1));
      left -= executor.done;
      if (executor.trapped) {
        traps++;
        widest = Math.max(widest, executor.done - 1);
      }
      if (ending !== ENDED_TRAP) break;
    }
    const stands = executor.end();
    const instructions = window - left;
    this.blocks++;
    if (!stands) this.takenBack++;
    this.spared += traps - 1;
    this.between += Math.max(0, instructions - (traps - 1));
    this.longest = Math.max(this.longest, instructions);
    this.#lengths[traps === 1 ? 0 : Math.min(LENGTHS.length - 1, 32 - Math.clz32(traps - 1))]!++;
    this.#endings[left === 0 ? 0 : ending === ENDED_COUNT ? 1 : ending]!++;
    const outcome: BlockOutcome = { traps, widest, instructions, sparedHandoffs: this.list.spared - spared };
    this.#policy!.learn(key, outcome);
  }

  *counts(): Generator<readonly [name: string, count: number]> {
    const { traps, blocks, spared, between, takenBack, longest, list } = this;
    yield* Object.entries({ traps, blocks, spared, between, takenBack, longest });
    for (const [i, name] of LENGTHS.entries()) if (this.#lengths[i]! > 0) yield [`blocks.${name}`, this.#lengths[i]!];
    for (const [i, name] of ENDINGS.entries()) if (this.#endings[i]! > 0) yield [`ended.${name}`, this.#endings[i]!];
    if (this.polls !== null) for (const name of ['waits', 'instructions', 'missed'] as const) yield [`polls.${name}`, this.polls[name]];
    yield ['lists', list.lists];
    yield ['lists.accesses', list.accesses];
  }
}

function inRange(name: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most) throw new RangeError(`${name}: expected an integer from ${least} to ${most}, got ${value}`);
  return value;
}
