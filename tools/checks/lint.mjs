import { runCommand } from '../command.mjs';

export async function checkLint() {
  const { code, output } = await runCommand('oxlint', ['--deny-warnings']);
  return [{ name: 'lint', problems: code === 0 ? [] : [output.trim()] }];
}
