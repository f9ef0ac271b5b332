/** The three modes of a node and what each refuses (PRS 8.1; architecture §9; C-34). */
import { ConfigError, type Config } from './load.ts';

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

const LOOPBACK = new Set(['127.0.0.1', 'localhost', '::1']);

/** AGENTOS_MODE, or AGENTOS_PROFILE where it holds a mode; `demo` when neither is set. @throws ConfigError when they contradict. */
export function resolveMode(config: Config): Mode {
  const { AGENTOS_MODE: mode, AGENTOS_PROFILE: profile } = config.values;
  const fromProfile = profile === 'demo' || profile === 'dev' || profile === 'prod' ? profile : undefined;
  if (mode !== undefined && fromProfile !== undefined && mode !== fromProfile) {
    throw new ConfigError('AGENTOS_MODE', `AGENTOS_MODE is ${mode} and AGENTOS_PROFILE is ${fromProfile}. Set only AGENTOS_MODE.`);
  }
  return mode ?? fromProfile ?? 'demo';
}

/** What the mode and the configuration say together. @throws ConfigError for what the mode refuses. */
export function resolveModeRules(config: Config): ModeRules {
  const mode = resolveMode(config);
  const { values } = config;
  const refuse = (variable: string, why: string): never => {
    throw new ConfigError(variable, `${variable} ${why}`);
  };
  if (mode === 'demo' && !LOOPBACK.has(values.AGENTOS_HOST)) {
    refuse('AGENTOS_HOST', `is ${values.AGENTOS_HOST}; demo mode trusts headers and therefore listens on 127.0.0.1 only. Set AGENTOS_MODE=dev or prod to listen elsewhere.`);
  }
  if (values.AGENTOS_ALLOW_DEV_HEADERS === true && mode !== 'demo') refuse('AGENTOS_ALLOW_DEV_HEADERS', `is on; ${mode} mode refuses identity by headers. Use AGENTOS_MODE=demo, or keys.`);
  if (mode === 'prod') {
    if (values.AGENTOS_DEFAULT_TENANT !== undefined) refuse('AGENTOS_DEFAULT_TENANT', 'must not be set in prod: the credential names the tenant.');
    if (values.AGENTOS_IMPLICIT_AGENTS === true) refuse('AGENTOS_IMPLICIT_AGENTS', 'is on; prod runs registered agents only.');
    if (values.AGENTOS_METRICS_REQUIRE_AUTH === false) refuse('AGENTOS_METRICS_REQUIRE_AUTH', 'is off; prod asks for a credential on /metrics.');
    if (values.AGENTOS_SIGNING_KEY === undefined) refuse('AGENTOS_SIGNING_KEY', 'is not set; prod needs it to sign the calls between services. Make one with: openssl rand -base64 48');
  }
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
