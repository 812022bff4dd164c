import { runCommand } from '../command.mjs';

/** What would be published is made, and the environment-free packages are compiled without the types of any environment. */
export async function checkBuild() {
  const { code, output } = await runCommand('turbo', ['run', 'build', '--output-logs=errors-only']);
  return [{ name: 'build', problems: code === 0 ? [] : [output.trim()] }];
}
