export { type SerialInput, uart16550, type Uart16550Config } from './uart16550.ts';
