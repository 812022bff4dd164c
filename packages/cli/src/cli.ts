/** A command of the program: gets the arguments behind its name, returns the exit code. */
interface Command {
  readonly summary: string;
  run(args: readonly string[]): Promise<number>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  help: {
    summary: 'this list',
    run: async () => {
      console.log('usage: vm COMMAND [OPTION...]\n');
      for (const [name, { summary }] of Object.entries(COMMANDS)) console.log(`  ${name.padEnd(14)}${summary}`);
      return 0;
    },
  },
};

/** The `vm` command. Returns its exit code: 0, 1 for a failure, 2 for a misuse. */
export async function runCli(args: readonly string[]): Promise<number> {
  const [name = 'help', ...rest] = args;
  const command = COMMANDS[name];
  if (command !== undefined) return command.run(rest);
  console.error(`vm: there is no command named ${name}; try "vm help"`);
  return 2;
}
