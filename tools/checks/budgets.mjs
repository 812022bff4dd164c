// Sizes that are watched, so that they hold.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../bootstrap.mjs';
import { runCommand } from '../command.mjs';
import { isTest, listPackages, listSources, readSource } from '../workspace.mjs';

const CORE = 'packages/core/src';
const CORE_LINES = 2145; // that run: blank lines and the two files of interfaces, which have budgets of their own, not counted
const DIRECTORY = /\/directory[./]/; // its sub-path for Node.js, which no machine loads, has a budget of its own
const DIRECTORY_LINES = 800;
const ISOLATED = /\/isolated[./]/; // the other one for Node.js, which only machines with devices in workers load
const ISOLATED_LINES = 1315;
const SNAPSHOT = /\/snapshot\//; // the saved machine, which has one too
const SNAPSHOT_LINES = 610;
const CORE_FILE_LINES = 250;
const INTERFACES = { 'abi.ts': 152, 'engine.ts': 188, 'pci.ts': 60 };
const CORE_NAMES = 40;
const FILE_LINES = 500; // tables excepted
const VAGUE = /\/(utils?|common|helpers?|types|misc)(\/|\.ts$)/;
const TOP_LEVEL = /^(\.changeset|\.ci|\.github|\.gitignore|\.npmrc|\.oxlintrc\.json|ARCHITECTURE\.md|LICENSE|README\.md|SECURITY\.md|bench|docs|examples|package\.json|packages|pnpm-lock\.yaml|pnpm-workspace\.yaml|tests|tools|tsconfig\.base\.json|tsconfig\.json|tsup\.base\.ts|turbo\.json|vitest\.config\.ts)$/;

export async function checkBudgets() {
  const problems = [];
  const limit = (what, is, most) => {
    if (is > most) problems.push(`${what}: ${is}, and the budget is ${most}`);
  };
  const core = listSources(CORE).filter((file) => !isTest(file) && !file.endsWith('.d.ts'));
  const running = core.filter((file) => !Object.keys(INTERFACES).some((name) => file === `${CORE}/${name}`) && !DIRECTORY.test(file) && !ISOLATED.test(file) && !SNAPSHOT.test(file));
  limit('@vm/core, lines', running.reduce((sum, file) => sum + countLines(file), 0), CORE_LINES);
  limit('@vm/core/directory, lines', core.filter((file) => DIRECTORY.test(file)).reduce((sum, file) => sum + countLines(file), 0), DIRECTORY_LINES);
  limit('@vm/core/isolated, lines', core.filter((file) => ISOLATED.test(file)).reduce((sum, file) => sum + countLines(file), 0), ISOLATED_LINES);
  limit('@vm/core/snapshot, lines', core.filter((file) => SNAPSHOT.test(file)).reduce((sum, file) => sum + countLines(file), 0), SNAPSHOT_LINES);
  for (const file of core) limit(`${file}, lines`, countLines(file), CORE_FILE_LINES);
  for (const [name, most] of Object.entries(INTERFACES)) limit(`${name}, lines`, readSource(`${CORE}/${name}`).trimEnd().split('\n').length, most);
  limit('@vm/core, exported names', exportedNames(readSource(`${CORE}/index.ts`)).length, CORE_NAMES);
  for (const { folder } of listPackages()) {
    for (const file of listSources(join(folder, 'src'))) {
      if (VAGUE.test(file)) problems.push(`${file}: a name that says nothing`);
      if (!isTest(file) && !file.includes('table')) limit(`${file}, lines`, countLines(file), FILE_LINES);
    }
    const index = join(folder, 'src/index.ts');
    if (!existsSync(join(ROOT, index))) problems.push(`${index} is missing`);
    else if (!isListOfExports(readSource(index))) problems.push(`${index}: it is a list of exports and nothing else`);
  }
  const { output } = await runCommand('git', ['ls-files']);
  const top = new Set(output.split('\n').filter(Boolean).map((file) => file.split('/')[0]));
  for (const name of top) if (!TOP_LEVEL.test(name)) problems.push(`${name} does not belong at the top level`);
  return [{ name: 'budgets', problems }];
}

function countLines(file) {
  return readSource(file).split('\n').filter((line) => line.trim() !== '').length;
}

function exportedNames(source) {
  return Array.from(source.matchAll(/\{([^}]*)\}/g), ([, names]) => names.split(',').map((name) => name.trim()).filter(Boolean)).flat();
}

function isListOfExports(source) {
  const rest = source.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/\/\/.*$/gm, '').replaceAll(/export (type )?\{[^}]*\} from '[^']+';/g, '');
  return rest.trim() === '';
}
