#!/usr/bin/env node
/**
 * The command line: finds the command among the modules beside it, parses by what the module declares, runs it, and
 * turns whatever is thrown into one error with an exit code. Only the module that was asked for is loaded, so that
 * `agentos status` answers at once.
 */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Command as Program, CommanderError } from 'commander';
import type { Command, GlobalOptions, OptionValues } from './lib/command.ts';
import { parseDurationMs } from './lib/duration.ts';
import { CliError, EXIT, type ExitCode } from './lib/errors.ts';
import { createOutput, wantsColor, type Output } from './lib/output.ts';
import { asCliError } from './lib/phases.ts';
import { addGlobalOptions, declareCommand } from './lib/program.ts';
import { readSecretReferences } from './lib/secret-references.ts';
import { placesOf } from './lib/settings.ts';

const here = fileURLToPath(import.meta.url);
const ENDING = path.extname(here);
const FOLDER = path.join(path.dirname(here), 'commands');

/** Where help lists a command. */
function placeOf(name: string): number {
  const place = GROUPED.findIndex((row) => row.name === name);
  return place === -1 ? GROUPED.length : place;
}

function commandNames(): readonly string[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith(ENDING) && !file.includes('.test.') && !file.endsWith('.d.ts'))
    .map((file) => file.slice(0, -ENDING.length))
    .sort((one, other) => placeOf(one) - placeOf(other));
}

/** How people look for a command; one that stands nowhere here is listed behind these. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  'The node:': ['up', 'bootstrap', 'status', 'logs', 'validate', 'restart', 'redeploy', 'nuke'],
  'Agents:': ['run'],
  'Who may call:': ['tenants', 'principals', 'keys', 'token', 'audit'],
  'Other nodes:': ['federation'],
  'Watching it:': ['observe', 'test-alert'],
  'Developing:': ['conformance'],
};

const GROUPED = Object.entries(GROUPS).flatMap(([title, names]) => names.map((name) => ({ title, name })));

async function loadCommand(name: string): Promise<Command> {
  const module = (await import(pathToFileURL(path.join(FOLDER, `${name}${ENDING}`)).href)) as { command: Command };
  return module.command;
}

/** The one command that is asked for, or all of them when help is. */
async function loadCommands(argv: readonly string[]): Promise<readonly Command[]> {
  const word = argv.find((argument) => /^[a-z][a-z-]*$/.test(argument));
  const asked = word !== undefined && word !== 'help' && existsSync(path.join(FOLDER, `${word}${ENDING}`));
  return Promise.all((asked ? [word] : commandNames()).map(loadCommand));
}

interface RawGlobals {
  readonly output?: string;
  readonly json?: boolean;
  readonly color?: boolean;
  readonly timeout?: string;
  readonly mode?: string;
  readonly profile?: string;
  readonly yesReally?: boolean;
}

/** Commander would make --color default to true because --no-color exists; absent must stay absent. */
function outputOf(raw: RawGlobals, argv: readonly string[]): Output {
  const flag = argv.includes('--no-color') ? false : argv.includes('--color') ? true : undefined;
  const format = raw.json === true ? 'json' : raw.output ?? 'text';
  if (format !== 'text' && format !== 'json') {
    throw new CliError(`--output cannot be "${format}"`, { exitCode: EXIT.usage, evidence: ['known: text, json'], next: 'agentos --help' });
  }
  const json = format === 'json';
  return createOutput({ json, color: !json && wantsColor(flag, process.env, process.stderr.isTTY === true) });
}

function globalsOf(raw: RawGlobals): GlobalOptions {
  const timeoutMs = raw.timeout === undefined ? null : parseDurationMs(raw.timeout);
  if (raw.timeout !== undefined && timeoutMs === null) {
    throw new CliError(`--timeout cannot be "${raw.timeout}"`, { exitCode: EXIT.usage, next: '--timeout 90s' });
  }
  return {
    timeoutMs,
    yesReally: raw.yesReally === true,
    ...(raw.mode === undefined ? {} : { mode: raw.mode }),
    ...(raw.profile === undefined ? {} : { profile: raw.profile }),
  };
}

function register(program: Program, command: Command, argv: readonly string[], finish: (code: ExitCode) => void): void {
  const sub = declareCommand(program, command);
  const group = GROUPED.find((row) => row.name === command.name)?.title;
  if (group !== undefined) sub.helpGroup(group);
  sub.action(async (...values: unknown[]) => {
    const args = values.slice(0, -2).filter((value): value is string => typeof value === 'string');
    const options = sub.optsWithGlobals<RawGlobals & OptionValues>();
    const output = outputOf(options, argv);
    const interrupt = new AbortController();
    const onSignal = (): void => interrupt.abort();
    process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
    try {
      if (command.name !== 'version') await readSecretReferences(placesOf().envFile);
      finish(await command.run({ output, global: globalsOf(options), signal: interrupt.signal }, args, options));
    } catch (cause) {
      const error = interrupt.signal.aborted && !(cause instanceof CliError) ? new CliError('interrupted', { exitCode: EXIT.interrupted, cause }) : asCliError(cause);
      output.failure(error);
      finish(error.exitCode);
    } finally {
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    }
  });
}

/** Runs one command line, without the program's own name. Never throws; answers the exit code. */
export async function main(given: readonly string[]): Promise<ExitCode> {
  const argv = given[0] === '--version' || given[0] === '-V' ? ['version', ...given.slice(1)] : given;
  let exitCode: ExitCode = EXIT.ok;
  const program = addGlobalOptions(new Program('npx agentos'))
    .description('AgentOS: bring a node up, run agents on it, look after it.')
    .exitOverride()
    .option('-V, --version', 'the same as version')
    .showHelpAfterError('next: npx agentos --help')
    .configureHelp({ showGlobalOptions: false });
  try {
    for (const command of await loadCommands(argv)) register(program, command, argv, (code) => { exitCode = code; });
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const failure = asCliError(error);
    createOutput({ json: false, color: false }).failure(failure);
    return failure.exitCode;
  }
}

// A reader that goes away (| head) is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
  throw error;
});
process.exitCode = await main(process.argv.slice(2));
