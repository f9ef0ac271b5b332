/**
 * What the command line works with, by the same loader as the services: flag, then environment, then `.agentos.env`,
 * then default. The services get the same sources plus the few values that only `up` can know.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ConfigError, loadConfig, type Config, type ConfigSource } from '../../services/platform/config/load.ts';
import { resolveMode, resolveModeRules, secretFileWarnings } from '../../services/platform/config/mode.ts';
import type { VariableName } from '../../services/platform/config/variables.ts';
import { describeUnsafe, UnsafeSettingsError } from '../../services/platform/config/unsafe-settings.ts';
import { CliError, EXIT } from './errors.ts';
import { federationEnvironment, isFederated } from './federation/files.ts';
import { repositoryRoot } from './repository.ts';
import { resolvedSecrets } from './secret-references.ts';
import { SERVICES, type ServiceName } from './services/catalog.ts';
import { readState } from './services/state.ts';

export type Mode = 'demo' | 'dev' | 'prod';
export type Profile = 'local' | 'federated' | 'gpu-node';
/** Each refuses more than the one before it. */
const MODES: readonly string[] = ['demo', 'dev', 'prod'];
const PROFILES: readonly string[] = ['local', 'federated', 'gpu-node'];

export interface SettingsFlags {
  readonly mode?: string | undefined;
  readonly profile?: string | undefined;
  /** Everything but `up` speaks to the node as it was brought up, whatever the file says by now. */
  readonly asBroughtUp?: boolean | undefined;
  /** The first one when absent. */
  readonly node?: NodeName | undefined;
}

/** One node, or the first of two; and the second one of the federated profile. */
export type NodeName = 'node-a' | 'node-b';

export interface Settings {
  readonly node: NodeName;
  /** They are of the node as it was brought up: mode and listeners as `up` left them. */
  readonly asBroughtUp: boolean;
  /** What these settings were loaded from, and what the services inherit. */
  readonly env: NodeJS.ProcessEnv;
  /** State folder: data, logs, pids, secrets. */
  readonly home: string;
  readonly envFile: string;
  readonly reportsDir: string;
  readonly mode: Mode;
  readonly profile: Profile;
  /** Address the services listen on. */
  readonly host: string;
  readonly ports: Readonly<Record<ServiceName, number>>;
  /** Services that have a certificate serve nothing else. */
  readonly tls: boolean;
  /** Where other nodes reach this one; null while it can meet none. */
  readonly peerPort: number | null;
  /** null: the default, or the next free one. */
  readonly postgresPort: number | null;
  /** A server of the user's own; null: the embedded one. */
  readonly databaseUrl: string | null;
  readonly defaultTenant: string;
  /** API key of the caller; null when none is set. */
  readonly apiKey: string | null;
  readonly config: Config;
}

/** The state folder, and the file of settings. */
export function placesOf(env: NodeJS.ProcessEnv = process.env): { readonly home: string; readonly envFile: string } {
  const ownHome = env['AGENTOS_HOME'] || env['AGENTOS_DATA_DIR'] || null;
  const home = path.resolve(ownHome ?? path.join(repositoryRoot, '.agentos'));
  return { home, envFile: path.resolve(env['AGENTOS_ENV_FILE'] || path.join(ownHome === null ? repositoryRoot : home, '.agentos.env')) };
}

/** @throws CliError usage or configuration for a value that cannot be. */
export function loadSettings(flags: SettingsFlags = {}, env: NodeJS.ProcessEnv = process.env): Settings {
  const { home, envFile } = placesOf(env);
  checkFlag('--mode', flags.mode, MODES);
  checkFlag('--profile', flags.profile, PROFILES);
  return asCliErrors(() => {
    const first = loadConfig({ flags: { AGENTOS_MODE: flags.mode, AGENTOS_PROFILE: flags.profile }, env, envFile, resolved: resolvedSecrets() });
    const kept = keptMode(first, home, flags.asBroughtUp === true);
    const config = kept === undefined ? first : loadConfig({ flags: { AGENTOS_MODE: kept, AGENTOS_PROFILE: flags.profile }, env, envFile, resolved: resolvedSecrets() });
    const { values, sources } = config;
    const profile = profileOf(values.AGENTOS_PROFILE) ?? readRememberedProfile(home) ?? 'local';
    return {
      node: flags.node ?? 'node-a',
      asBroughtUp: flags.asBroughtUp === true,
      env,
      home,
      envFile,
      reportsDir: path.resolve(values.AGENTOS_REPORTS_DIR ?? path.join(repositoryRoot, 'reports')),
      mode: resolveMode(config),
      profile,
      ...listenersOf(config, flags.asBroughtUp === true ? home : null),
      peerPort: profile === 'federated' || isFederated(home) || values.AGENTOS_FED_SERVER_CERT !== undefined ? values.AGENTOS_FED_PEER_PORT : null,
      postgresPort: sources.AGENTOS_POSTGRES_PORT === 'default' ? null : values.AGENTOS_POSTGRES_PORT,
      databaseUrl: values.DATABASE_URL ?? null,
      defaultTenant: values.AGENTOS_TENANT_ID ?? values.AGENTOS_DEFAULT_TENANT ?? 'tnt_demo',
      apiKey: values.AGENTOS_API_KEY ?? values.AGENTOS_SERVICE_TOKEN ?? null,
      config,
    };
  });
}

/**
 * The mode that the node was brought up with, where it goes before what is configured; undefined where it does not. Who
 * says nothing means the mode that is there: a node must not lose its credentials because a flag was left out.
 * @throws CliError configuration where the file of settings asks `up` for less than that.
 */
function keptMode(config: Config, home: string, asBroughtUp: boolean): Mode | undefined {
  const { values, sources } = config;
  const source = values.AGENTOS_MODE === undefined && MODES.includes(values.AGENTOS_PROFILE ?? '') ? sources.AGENTOS_PROFILE : sources.AGENTOS_MODE;
  if (source === 'flag' || source === 'environment') return undefined;
  const remembered = readRememberedMode(home);
  if (remembered === undefined && !asBroughtUp && existsSync(rememberedModeFile(home))) {
    throw new CliError('the mode that this node was brought up with cannot be read', { exitCode: EXIT.configuration, evidence: [`${rememberedModeFile(home)} holds none of ${MODES.join(', ')}`], next: 'say it once: agentos up --mode <mode>' });
  }
  if (asBroughtUp || remembered === undefined) return remembered;
  const configured = resolveMode(config);
  if (MODES.indexOf(configured) >= MODES.indexOf(remembered)) return undefined;
  if (source !== 'file') return remembered;
  throw new CliError(`this node is in ${remembered} mode, and the settings ask for ${configured}, which protects less`, {
    exitCode: EXIT.configuration,
    evidence: [`${rememberedModeFile(home)}: ${remembered}, as it was last brought up`, `AGENTOS_MODE=${configured} in the file of settings`],
    next: `to stay, write AGENTOS_MODE=${remembered} into that file; to change, say so once: agentos up --mode ${configured}`,
  });
}

/**
 * Where the services listen: where `up` said they should, as each service's state in `home` tells, so that commands need
 * no variable again that only `up` was given; where there is no such state, what the settings say.
 */
function listenersOf({ values }: Config, home: string | null): Pick<Settings, 'host' | 'ports' | 'tls'> {
  const states = home === null ? [] : SERVICES.map(({ name }) => readState(home, name)).filter((state) => state !== null);
  const portOf = (service: ServiceName, fallback: number): number => states.find((state) => state.service === service)?.port ?? fallback;
  return {
    host: states[0]?.host ?? values.AGENTOS_HOST,
    ports: {
      'agent-orchestrator': portOf('agent-orchestrator', values.AGENTOS_AGENT_ORCHESTRATOR_PORT),
      'model-policy': portOf('model-policy', values.AGENTOS_MODEL_POLICY_PORT),
      federation: portOf('federation', values.AGENTOS_FEDERATION_PORT),
    },
    tls: states[0]?.tls ?? values.AGENTOS_TLS_CERT_FILE !== undefined,
  };
}

/** Refuses what the mode refuses, before anything is started; answers what it only tells of. @throws CliError configuration. */
export function checkMode(settings: Settings, known: Readonly<Record<string, string>>): readonly string[] {
  return asCliErrors(() => {
    const config = loadConfig({ flags: { AGENTOS_MODE: settings.mode }, env: known, envFile: settings.envFile, resolved: resolvedSecrets() });
    resolveModeRules(config, { federation: true, makesFirstKey: true });
    return secretFileWarnings(config);
  });
}

/** Where a client on this machine finds a service. */
export function listenerOf(settings: Settings, service: ServiceName): { readonly host: string; readonly port: number; readonly tls: boolean } {
  return { host: clientHost(settings), port: settings.ports[service], tls: settings.tls };
}

export function schemeOf(settings: Pick<Settings, 'tls'>): 'http' | 'https' {
  return settings.tls ? 'https' : 'http';
}

/** The address a client on this machine uses. */
export function clientHost(settings: Pick<Settings, 'host'>): string {
  return settings.host === '0.0.0.0' || settings.host === '::' ? '127.0.0.1' : settings.host;
}

/**
 * The environment of the services: the caller's own, and above it what `up` decided. The client's key is kept from
 * them; they have no use for it.
 */
export function serviceEnvironment(settings: Settings, decided: { readonly databaseUrlFile: string | null; readonly signingKeyFile: string; readonly localIssuerFile?: string }, env: NodeJS.ProcessEnv = settings.env): Readonly<Record<string, string>> {
  const { AGENTOS_API_KEY: _key, AGENTOS_API_KEY_FILE: _keyFile, ...passed } = env;
  const { sources } = settings.config;
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(passed)) if (value !== undefined) result[name] = value;
  const unless = (source: ConfigSource, name: string, value: string): void => {
    if (source === 'default' || source === 'unset') result[name] = value;
  };
  for (const service of SERVICES) unless(sources[service.urlVariable], service.urlVariable, `${schemeOf(settings)}://${clientHost(settings)}:${settings.ports[service.name]}`);
  unless(sources.AGENTOS_SIGNING_KEY, 'AGENTOS_SIGNING_KEY_FILE', decided.signingKeyFile);
  if (settings.mode !== 'prod') unless(sources.AGENTOS_DEFAULT_TENANT, 'AGENTOS_DEFAULT_TENANT', 'tnt_demo');
  if (settings.mode !== 'prod' && decided.localIssuerFile !== undefined) unless(sources.AGENTOS_LOCAL_ISSUER_FILE, 'AGENTOS_LOCAL_ISSUER_FILE', decided.localIssuerFile);
  for (const [name, value] of Object.entries(ownCertificates(settings) ? {} : federationEnvironment(settings.home))) unless(sources[name as VariableName], name, value);
  // Said in any case: a restart from a shell without the variables that up was given must not look like other settings.
  for (const service of SERVICES) result[service.portVariable] = String(settings.ports[service.name]);
  result['AGENTOS_HOST'] = settings.host;
  result['AGENTOS_MODE'] = settings.mode;
  result['AGENTOS_ENV_FILE'] = settings.envFile;
  result['AGENTOS_DATA_DIR'] = settings.home;
  // The embedded server's address holds its password; a server of the user's own is named as the user named it.
  if (decided.databaseUrlFile !== null) result['DATABASE_URL_FILE'] = decided.databaseUrlFile;
  return result;
}

/** Certificates that a person named in variables are used as named, and those of the state folder left alone. */
function ownCertificates({ config: { values } }: Settings): boolean {
  return values.AGENTOS_FED_SERVER_CERT !== undefined || values.AGENTOS_FED_SERVER_KEY !== undefined || values.AGENTOS_FED_CA_CERT !== undefined;
}

/** The profile that the node was brought up with: `agentos up` again, without a word, is for the same nodes. */
export function rememberedProfileFile(home: string): string {
  return path.join(home, 'state', 'profile');
}

function readRememberedProfile(home: string): Profile | undefined {
  return existsSync(rememberedProfileFile(home)) ? profileOf(readFileSync(rememberedProfileFile(home), 'utf8').trim()) : undefined;
}

const profileOf = (text: string | undefined): Profile | undefined => (text !== undefined && PROFILES.includes(text) ? (text as Profile) : undefined);

/** The mode that the running node was brought up with, kept so that later commands need no flag. */
export function rememberedModeFile(home: string): string {
  return path.join(home, 'state', 'mode');
}

function readRememberedMode(home: string): Mode | undefined {
  if (!existsSync(rememberedModeFile(home))) return undefined;
  const text = readFileSync(rememberedModeFile(home), 'utf8').trim();
  return MODES.includes(text) ? (text as Mode) : undefined;
}

function checkFlag(flag: string, value: string | undefined, known: readonly string[]): void {
  if (value === undefined || known.includes(value)) return;
  throw new CliError(`${flag} cannot be "${value}"`, { exitCode: EXIT.usage, evidence: [`known: ${known.join(', ')}`], next: `${flag} ${known[0]}` });
}

function asCliErrors<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (error instanceof UnsafeSettingsError) {
      throw new CliError(error.message.split(':')[0]!, { exitCode: EXIT.configuration, evidence: error.unsafe.map(describeUnsafe), next: 'correct these in the environment or in .agentos.env, then agentos up --mode prod', cause: error });
    }
    throw new CliError(error.message, { exitCode: EXIT.configuration, next: `correct ${error.variable} in the environment or in .agentos.env`, cause: error });
  }
}
