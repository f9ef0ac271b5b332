/**
 * The one place where a process gets its configuration with its secrets: `loadConfig` reads what stands there, this
 * finds out what the references among it stand for, before anything is started, and follows the sources from then on.
 * Services and the command line both come through here.
 */
import { ConfigError, loadConfig, type Config, type LoadOptions } from '../config/load.ts';
import { secretFileWarnings } from '../config/mode.ts';
import { findVariable, type ServiceName, type VariableName } from '../config/variables.ts';
import { FollowedSecrets, type SecretSource } from './followed-secrets.ts';
import { parseReference, type ReferenceScheme } from './reference.ts';
import type { SecretsPort } from './secrets.ts';
import { AwsSecrets } from './secrets-aws-sm.ts';
import { FileSecrets } from './secrets-files.ts';
import { configuredVault } from './vault/configured-vault.ts';

export interface OpenConfigOptions extends LoadOptions {
  /** Whose secrets are read: references for other services stay unread, so that each may be let read its own alone. */
  readonly service: ServiceName;
  /** Follow the sources. Off for a command that ends soon. Default on. */
  readonly follow?: boolean;
  /** Time between two looks at a file, milliseconds; 1,000 when absent. */
  readonly lookMs?: number;
}

/** What a secret manager is opened with cannot be kept in it. */
const OPENS_THE_MANAGER: ReadonlySet<string> = new Set(['VAULT_TOKEN', 'AGENTOS_VAULT_SECRET_ID']);

/**
 * @throws ConfigError that names every secret which cannot be read, where it was looked for, why it is not there and
 * what to do. Its exit code is that of a missing dependency when the secret manager is away, else of configuration.
 */
export async function openConfig(options: OpenConfigOptions): Promise<Config> {
  const loaded = loadConfig(options);
  const sources = sourcesOf(loaded, options.service);
  const secrets = new FollowedSecrets(sources, openAdapters(loaded, sources), loaded, { lookMs: options.lookMs ?? 1_000 });
  try {
    const resolved = await secrets.resolve();
    const config = Object.keys(resolved).length === 0 ? loaded : loadConfig({ ...options, resolved });
    secrets.begin(config.values, options.follow ?? true);
    return { ...config, secrets, warnings: [...config.warnings, ...secretFileWarnings(config)] };
  } catch (error) {
    await secrets.close();
    throw error;
  }
}

function sourcesOf(config: Config, service: ServiceName): SecretSource[] {
  const sources: SecretSource[] = [];
  for (const [name, path] of Object.entries(config.secretFiles) as [VariableName, string][]) sources.push({ variable: name, adapter: 'files', name: path, shown: path });
  for (const [name, text] of Object.entries(config.references) as [VariableName, string][]) {
    const readers = findVariable(name)!.services;
    if (readers !== 'all' && !readers.includes(service)) continue;
    if (OPENS_THE_MANAGER.has(name)) throw new ConfigError(name, `${name} is ${text}; what opens the secret manager cannot be a reference. Give it as a file: ${name}_FILE.`);
    try {
      const { scheme, name: place } = parseReference(text);
      sources.push({ variable: name, adapter: scheme, name: place, shown: text });
    } catch (error) {
      throw new ConfigError(name, `${name} holds a reference that cannot be read: ${(error as Error).message}.`);
    }
  }
  return sources;
}

function openAdapters(config: Config, sources: readonly SecretSource[]): ReadonlyMap<string, SecretsPort> {
  const open: Readonly<Record<ReferenceScheme | 'files', () => SecretsPort>> = {
    files: () => new FileSecrets(),
    vault: () => configuredVault(config),
    'aws-sm': () => new AwsSecrets(config.values.AWS_REGION === undefined ? {} : { region: config.values.AWS_REGION }),
  };
  return new Map([...new Set(sources.map((source) => source.adapter))].map((adapter) => [adapter, open[adapter]()]));
}
