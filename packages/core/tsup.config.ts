import { bundle } from '../../tsup.base.ts';

export default bundle({ directory: 'src/directory.ts', index: 'src/index.ts', engine: 'src/engine.ts', exit: 'src/exit.ts', snapshot: 'src/snapshot/index.ts' });
