import { bundle } from '../../tsup.base.ts';

export default bundle({ directory: 'src/directory.ts', index: 'src/index.ts', engine: 'src/engine.ts', exit: 'src/exit.ts', isolated: 'src/isolated.ts', 'isolated-worker': 'src/isolated/worker-main.ts', pci: 'src/pci.ts', snapshot: 'src/snapshot/index.ts' });
