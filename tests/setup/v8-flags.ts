/** Tests run translated code as the vm command does. */
import { setV8Flags } from '../../packages/vcpu-wasm/src/node.ts';

setV8Flags();
