/** The three modes of a node and what each refuses (PRS 8.1; architecture §9; C-34). */
import { ConfigError, type Config } from './load.ts';
import { openSecretFiles } from './secret-files.ts';
import { hasIssuer, isIdentityGap, LOOPBACK, unsafeSettings, UnsafeSettingsError } from './unsafe-settings.ts';

export type Mode = 'demo' | 'dev' | 'prod';

export interface ModeRules {
  readonly mode: Mode;
  /** `X-Tenant-Id` alone is an identity. */
  readonly headerIdentity: boolean;
  readonly defaultTenant: string | null;
  /** Unregistered agents run with a default definition (C-48). */
  readonly implicitAgents: boolean;
  /** express-openapi-validator referees every exchange. */
  readonly contractCheck: boolean;
  readonly metricsRequireAuth: boolean;
  /** A run creation must carry an idempotency key (C-80). */
  readonly idempotencyKeyRequired: boolean;
}

/** AGENTOS_MODE, or AGENTOS_PROFILE where it holds a mode; `demo` when neither is set. @throws ConfigError when they contradict. */
export function resolveMode(config: Config): Mode {
  const { AGENTOS_MODE: mode, AGENTOS_PROFILE: profile } = config.values;
  const fromProfile = profile === 'demo' || profile === 'dev' || profile === 'prod' ? profile : undefined;
  if (mode !== undefined && fromProfile !== undefined && mode !== fromProfile) {
    throw new ConfigError('AGENTOS_MODE', `AGENTOS_MODE is ${mode} and AGENTOS_PROFILE is ${fromProfile}. Set only AGENTOS_MODE.`);
  }
  return mode ?? fromProfile ?? 'demo';
}

export interface ModeQuestion {
  /** Federation is among what is to be started. */
  readonly federation?: boolean;
  /** Whoever asks makes the first key of a node that has neither issuer nor key. */
  readonly makesFirstKey?: boolean;
}

/**
 * What the mode and the configuration say together.
 * @throws ConfigError for what demo and dev refuse, UnsafeSettingsError with everything that prod refuses.
 */
export function resolveModeRules(config: Config, question: ModeQuestion = {}): ModeRules {
  const mode = resolveMode(config);
  const { values } = config;
  if (mode === 'demo' && !LOOPBACK.has(values.AGENTOS_HOST)) {
    throw new ConfigError('AGENTOS_HOST', `AGENTOS_HOST is ${values.AGENTOS_HOST}; demo mode trusts headers and therefore listens on 127.0.0.1 only. Set AGENTOS_MODE=dev or prod to listen elsewhere.`);
  }
  if (mode === 'dev' && values.AGENTOS_ALLOW_DEV_HEADERS === true) {
    throw new ConfigError('AGENTOS_ALLOW_DEV_HEADERS', 'AGENTOS_ALLOW_DEV_HEADERS is on; dev mode refuses identity by headers. Use AGENTOS_MODE=demo, or keys.');
  }
  if (mode === 'prod') refuseUnsafe(config, question);
  return {
    mode,
    headerIdentity: values.AGENTOS_ALLOW_DEV_HEADERS ?? mode === 'demo',
    defaultTenant: values.AGENTOS_DEFAULT_TENANT ?? null,
    implicitAgents: values.AGENTOS_IMPLICIT_AGENTS ?? mode !== 'prod',
    contractCheck: values.AGENTOS_CONTRACT_CHECK ?? mode === 'dev',
    metricsRequireAuth: values.AGENTOS_METRICS_REQUIRE_AUTH ?? mode === 'prod',
    idempotencyKeyRequired: mode === 'prod',
  };
}

/** A missing issuer alone is not refused here: the directory may hold keys, which `requireKnownIdentity` asks for. */
function refuseUnsafe(config: Config, { federation = false, makesFirstKey = false }: ModeQuestion): void {
  const unsafe = unsafeSettings(config, { federation }).filter((each) => !makesFirstKey || !isIdentityGap(each));
  if (unsafe.some((each) => !isIdentityGap(each))) throw new UnsafeSettingsError(unsafe);
}

/** @throws UnsafeSettingsError when nobody could be recognised: prod, no issuer, and no key in the directory. */
export async function requireKnownIdentity(config: Config, hasKeys: () => Promise<boolean>): Promise<void> {
  if (resolveMode(config) !== 'prod' || hasIssuer(config) || (await hasKeys())) return;
  throw new UnsafeSettingsError(unsafeSettings(config, { federation: false }).filter(isIdentityGap));
}

/** Secrets that others on this machine may read: refused in prod, told of elsewhere. */
export function secretFileWarnings(config: Config): readonly string[] {
  if (resolveMode(config) === 'prod') return [];
  return openSecretFiles(config).map(({ variable, path, mode }) => `${path} (${variable}) holds a secret and may be read by others (mode ${mode}). Run: chmod ${path.endsWith('/secrets') ? '700' : '600'} ${path}`);
}
