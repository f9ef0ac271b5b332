/** The Redocly CLI as a child process, kept off the network: it reports to a telemetry host unless told otherwise. */
import { join } from 'node:path';
import { $ } from 'zx';
import { repositoryRoot } from './paths.ts';

export interface RedoclyResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runRedocly(args: readonly string[], workingFolder = repositoryRoot): Promise<RedoclyResult> {
  const cli = join(repositoryRoot, 'node_modules', '@redocly', 'cli', 'bin', 'cli.js');
  const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true', NO_COLOR: '1', FORCE_COLOR: '0' };
  const { exitCode, signal, stdout, stderr } = await $({ cwd: workingFolder, env, nothrow: true, quiet: true })`${process.execPath} ${cli} ${args}`;
  if (exitCode === null) throw new Error(`redocly ${args[0]} was ended by ${signal}.`);
  return { exitCode, stdout, stderr };
}
