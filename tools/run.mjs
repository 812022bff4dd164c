// npm start, npm test and npm run x come here. See bootstrap.mjs for what happens first.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { bootstrap, environment, NODE, ROOT } from './bootstrap.mjs';

const SOURCE = ['--conditions=vm-source', '--disable-warning=ExperimentalWarning'];
const COMMANDS = {
  // Node runs the sources as they are: no build stands between a change and its effect, and the first start is the quickest.
  start: (args) => [NODE, ...SOURCE, join(ROOT, 'packages/cli/src/main.ts'), 'start', ...args],
  test: (args) => [NODE, ...SOURCE, join(ROOT, 'tools/test.mjs'), ...args],
  bench: (args) => [NODE, ...SOURCE, join(ROOT, 'bench/run.ts'), ...args],
  fuzz: (args) => [NODE, ...SOURCE, join(ROOT, 'tests/fuzz/run.ts'), ...args],
  conformance: (args) => [NODE, ...SOURCE, join(ROOT, 'tests/conformance/run.ts'), ...args],
  exec: (args) => args,
};

const [name = 'start', ...rest] = process.argv.slice(2);
const command = COMMANDS[name];
if (command === undefined || (name === 'exec' && rest.length === 0)) {
  console.error('usage: node tools/run.mjs start|test|bench|fuzz|conformance|exec ...');
  process.exit(2);
}
bootstrap();
const env = environment();
env.NODE_COMPILE_CACHE ??= join(ROOT, 'node_modules', '.cache', 'node');
const [program, ...args] = command(rest);
const child = spawn(program, args, { cwd: name === 'exec' ? process.cwd() : ROOT, env, stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => signal !== 'SIGINT' && child.kill(signal));
child.on('error', (error) => {
  console.error(`${program}: ${error.message}`);
  process.exit(1);
});
child.on('exit', (code, signal) => process.exit(signal === null ? code : 1));
