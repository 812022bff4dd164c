/** Tests run translated code as the vm command does. */
import { hintBranches } from '../../packages/vcpu-wasm/src/node.ts';

hintBranches();
