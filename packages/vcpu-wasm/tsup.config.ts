import { bundle } from '../../tsup.base.ts';

// The interpreter is stored by build/store-interpreter.ts and found through the package's imports.
export default { ...bundle({ index: 'src/index.ts', flat: 'src/flat.ts', node: 'src/node.ts' }), external: ['#interpreter'] };
