export { i8042, type I8042Config } from './i8042.ts';
