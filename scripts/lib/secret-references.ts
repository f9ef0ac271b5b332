/**
 * What the references among this command line's secrets stand for. They are read once, before a command runs, by the
 * same way as the services read theirs; a command line without references loads none of it.
 */
import { ConfigError, loadConfig, type LoadOptions } from '../../services/platform/config/load.ts';
import { findVariable, type VariableName } from '../../services/platform/config/variables.ts';
import { CliError } from './errors.ts';

let resolved: NonNullable<LoadOptions['resolved']> = {};

/** For `loadConfig`. */
export const resolvedSecrets = (): NonNullable<LoadOptions['resolved']> => resolved;

/** @throws CliError that names what cannot be read, where, and what to do. */
export async function readSecretReferences(envFile: string, env: NodeJS.ProcessEnv = process.env): Promise<void> {
  if (!(await hasReferences(envFile, env))) return;
  const { openConfig } = await import('../../services/platform/secrets/open-config.ts');
  try {
    const { values, references, secrets } = await openConfig({ service: 'cli', env, envFile, follow: false });
    await secrets.close();
    resolved = Object.fromEntries((Object.keys(references) as VariableName[]).filter((name) => values[name] !== undefined).map((name) => [name, String(values[name])]));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [first, ...others] = error.message.split('\n');
    throw new CliError(first!, { exitCode: error.exitCode, evidence: others, next: `correct ${error.variable}, or bring what it names back`, cause: error });
  }
}

/** Settings that cannot be loaded are the command's own to report. */
async function hasReferences(envFile: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  try {
    const { references } = loadConfig({ env, envFile });
    return (Object.keys(references) as VariableName[]).some((name) => {
      const readers = findVariable(name)!.services;
      return readers === 'all' || readers.includes('cli');
    });
  } catch {
    return false;
  }
}
