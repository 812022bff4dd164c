import { bundle } from '../../tsup.base.ts';

export default bundle({ index: 'src/index.ts', node: 'src/node.ts', 'cipher-worker': 'src/node/cipher-worker.ts' });
