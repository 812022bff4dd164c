// node --conditions=vm-source examples/two-machines/src/main.ts [apart]
import { countApart, countTogether } from './two-machines.ts';

const [first, second] = process.argv[2] === 'apart' ? await countApart() : await countTogether();
console.log(`the first says ${first}, the second ${second}`);
