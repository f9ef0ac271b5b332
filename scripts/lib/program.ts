/** What commander is told of a command: its own options and those of all commands. The command line parses by it, and a test reads the docs by it. */
import type { Command as Program } from 'commander';
import type { Command } from './command.ts';
import { asTyped } from './output.ts';

export function addGlobalOptions(program: Program): Program {
  return program
    .option('-o, --output <format>', 'text or json')
    .option('--json', 'the same as --output json')
    .option('--color', 'colour even without a terminal')
    .option('--no-color', 'no colour (as NO_COLOR does)')
    .option('--timeout <duration>', 'give up after this time, e.g. 90s, 5m')
    .option('--mode <mode>', 'demo, dev or prod')
    .option('--profile <profile>', 'local, federated or gpu-node');
}

/** Adds the command, without anything that it does. */
export function declareCommand(program: Program, command: Command): Program {
  const sub = program.command(command.name).description(command.summary);
  addGlobalOptions(sub).exitOverride().showHelpAfterError(`next: npx agentos ${command.name} --help`);
  for (const { usage, summary } of command.args ?? []) sub.argument(usage, summary);
  for (const row of command.options ?? []) sub.option(row.flags, row.summary, row.default);
  if (command.examples !== undefined) sub.addHelpText('after', `\nExamples:\n${command.examples.map((line) => `  ${asTyped(line)}`).join('\n')}`);
  return sub;
}
