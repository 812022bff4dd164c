import { itRunsTheSame } from './random-processors.ts';

itRunsTheSame({ width: 32, processors: 3, steps: 1500, seed: 1 }, [{ translator: 'on', shadow: 'diff' }, { translator: 'eager', shadow: 'cached' }]);
itRunsTheSame({ width: 64, processors: 4, steps: 1500, seed: 2 }, [{ translator: 'on', shadow: 'off' }, { translator: 'off', shadow: 'flush' }, { translator: 'eager', shadow: 'diff' }]);
