export { runProgram, type Visit } from './custom-vmm.ts';
export { writeProgram } from './program.ts';
