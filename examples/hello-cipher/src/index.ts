export { essivCiphers } from './essiv.ts';
export { helperCiphers } from './openssl-process.ts';
