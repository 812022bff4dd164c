export { essivCiphers } from './essiv.ts';
export { helperCiphers } from './helper.ts';
