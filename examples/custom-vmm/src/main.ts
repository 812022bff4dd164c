// node --conditions=vm-source examples/custom-vmm/src/main.ts
import { runProgram } from './custom-vmm.ts';
import { writeProgram } from './program.ts';

let lines = 0;
const { reason, instructions } = await runProgram(writeProgram(['hello, host', 'bye'], 0x8000), (line) => {
  console.log(`the guest says: ${line}`);
  return ++lines;
});
console.log(`${reason} after ${instructions} instructions`);
