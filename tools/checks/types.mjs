import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../bootstrap.mjs';
import { inParallel, runCommand } from '../command.mjs';
import { listPackages } from '../workspace.mjs';

/** Sources and tests of every package, and of the folders across packages, under the strict settings. */
export async function checkTypes() {
  const projects = [...listPackages().map(({ folder }) => join(folder, 'tsconfig.json')), 'tsconfig.json'];
  return inParallel(projects.filter((file) => existsSync(join(ROOT, file))), availableParallelism(), async (project) => {
    const { code, output } = await runCommand('tsc', ['-p', project]);
    return { name: `types: ${project}`, problems: code === 0 ? [] : [output.trim()] };
  });
}
