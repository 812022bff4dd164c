import { itRunsTheSame, type RandomEngine } from './random-processors.ts';

const SEEDS = 6;
const ENGINES: readonly RandomEngine[] = (['on', 'eager'] as const).flatMap((translator) => (['off', 'flush', 'cached', 'diff'] as const).map((shadow) => ({ translator, shadow })));

for (const width of [32, 64] as const) {
  for (let seed = 100; seed < 100 + SEEDS; seed++) itRunsTheSame({ width, processors: 2 + (seed % 7), steps: 2000, seed }, ENGINES);
}
