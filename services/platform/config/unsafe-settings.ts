/**
 * What prod refuses, as one list: each row looks at the configuration and says what is unsafe there and what to set in
 * its place. They are all asked, so that a first start in prod names everything at once (PRS 8.1, 10).
 */
import { readFileSync } from 'node:fs';
import { ConfigError, type Config } from './load.ts';
import { openSecretFiles } from './secret-files.ts';
import { VARIABLES, type Variable, type VariableName } from './variables.ts';

export interface UnsafeSetting {
  readonly variable: string;
  /** After the variable's name: what is unsafe. */
  readonly problem: string;
  /** What to set, as an instruction. */
  readonly instead: string;
}

/** Prod was asked for with settings that prod does not allow. */
export class UnsafeSettingsError extends ConfigError {
  readonly unsafe: readonly UnsafeSetting[];
  constructor(unsafe: readonly UnsafeSetting[]) {
    const lines = unsafe.map((each) => `  ${describeUnsafe(each)}`);
    super(unsafe[0]!.variable, `prod refuses ${unsafe.length === 1 ? 'an unsafe setting' : `${unsafe.length} unsafe settings`}:\n${lines.join('\n')}`);
    this.name = 'UnsafeSettingsError';
    this.unsafe = unsafe;
  }
}

export const describeUnsafe = ({ variable, problem, instead }: UnsafeSetting): string => `${variable} ${problem} ${instead}`;

export interface UnsafeQuestion {
  /** Federation is among what is to be started. */
  readonly federation: boolean;
}

type Row = (config: Config, question: UnsafeQuestion) => readonly UnsafeSetting[];

/** Key material of AGENTOS_SIGNING_KEY, bytes. */
const MIN_SIGNING_KEY_BYTES = 32;

export const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '::1', '[::1]']);

const one = (isUnsafe: boolean, variable: VariableName, problem: string, instead: string): readonly UnsafeSetting[] => (isUnsafe ? [{ variable, problem, instead }] : []);

const ROWS: readonly Row[] = [
  ({ values }) => one(values.AGENTOS_DEFAULT_TENANT !== undefined, 'AGENTOS_DEFAULT_TENANT', 'is set; in prod the credential names the tenant.', 'Unset it.'),
  ({ values }) => one(values.AGENTOS_ALLOW_DEV_HEADERS === true, 'AGENTOS_ALLOW_DEV_HEADERS', 'is on; prod knows nobody by headers.', 'Unset it, and let callers present keys or tokens.'),
  ({ values }) => one(values.AGENTOS_IMPLICIT_AGENTS === true, 'AGENTOS_IMPLICIT_AGENTS', 'is on; prod runs registered agents only.', 'Unset it, and register the agents.'),
  ({ values }) => one(values.AGENTOS_METRICS_REQUIRE_AUTH === false, 'AGENTOS_METRICS_REQUIRE_AUTH', 'is off; prod asks for a credential on /metrics.', 'Unset it, and give Prometheus a key.'),
  ({ values }) => one(values.AGENTOS_STORE === 'memory', 'AGENTOS_STORE', 'is memory; prod keeps runs in PostgreSQL.', 'Unset it, and set DATABASE_URL_FILE.'),
  signingKey,
  ({ values, sources }) => one(values.AGENTOS_AUDIT_KEY_FILE === undefined && sources.AGENTOS_DATA_DIR === 'default', 'AGENTOS_DATA_DIR', 'is not set, nor is AGENTOS_AUDIT_KEY_FILE: the audit log would not be signed, and nobody could tell a rewritten one from the true one.', 'Set AGENTOS_DATA_DIR to a folder that outlives the process, or AGENTOS_AUDIT_KEY_FILE and AGENTOS_AUDIT_CHECKPOINTS.'),
  plainSecrets,
  (config) => openSecretFiles(config).map(({ variable, path, mode }) => ({ variable, problem: `: ${path} may be read by others (mode ${mode}).`, instead: `Run: chmod ${path.endsWith('/secrets') ? '700' : '600'} ${path}` })),
  identity,
  transport,
  ({ values }) => one(values.AGENTOS_TRUSTED_PROXY.some((each) => each.endsWith('/0')), 'AGENTOS_TRUSTED_PROXY', 'believes everybody who sends X-Forwarded-For.', 'Set it to the addresses of your proxies.'),
  peers,
  ({ values }) => one(isPlainHttp(values.VAULT_ADDR), 'VAULT_ADDR', `is ${values.VAULT_ADDR}; secrets would travel unencrypted.`, 'Set it to the https:// address.'),
  ({ values }) => one(isPlainHttp(values.AGENTOS_JWT_JWKS_URI), 'AGENTOS_JWT_JWKS_URI', `is ${values.AGENTOS_JWT_JWKS_URI}; whoever sits in between could put keys of their own there.`, 'Set it to the https:// address.'),
];

/** Everything that prod refuses about a configuration. On a missing issuer the directory has the last word: see `isIdentityGap`. */
export function unsafeSettings(config: Config, question: UnsafeQuestion): readonly UnsafeSetting[] {
  return ROWS.flatMap((row) => row(config, question));
}

function signingKey({ values, references }: Config): readonly UnsafeSetting[] {
  const make = 'Write one: openssl rand -base64 48 > FILE, chmod 600 FILE, and set AGENTOS_SIGNING_KEY_FILE=FILE.';
  const key = values.AGENTOS_SIGNING_KEY;
  if (key === undefined) return one(references.AGENTOS_SIGNING_KEY === undefined, 'AGENTOS_SIGNING_KEY', 'is not set; prod signs the calls between services.', make);
  const bytes = Buffer.byteLength(key);
  return one(bytes < MIN_SIGNING_KEY_BYTES, 'AGENTOS_SIGNING_KEY', `has ${bytes} bytes; it needs at least ${MIN_SIGNING_KEY_BYTES}.`, make);
}

/** Environments show in process lists, crash reports and the pages of orchestrators. The command line's own credential is its caller's. */
function plainSecrets(config: Config): readonly UnsafeSetting[] {
  return (VARIABLES as readonly Variable[]).flatMap((variable) => {
    const name = variable.name as VariableName;
    const source = config.sources[name];
    const isPlain = variable.secret === true && (source === 'environment' || source === 'file' || source === 'flag') && config.secretFiles[name] === undefined && config.references[name] === undefined;
    if (!isPlain || (variable.services.length === 1 && variable.services[0] === 'cli') || holdsNoSecret(String(config.values[name]))) return [];
    const where = { environment: 'in the environment', file: 'in the environment file', flag: 'on the command line' }[source];
    return [{ variable: name, problem: `stands ${where} as plain text.`, instead: `Put it into a file and set ${name}_FILE, or set ${name} to a reference: vault://<mount>/<path>#<field>, aws-sm://<secret id>#<field>.` }];
  });
}

/** An address without a password gives nothing away. */
function holdsNoSecret(text: string): boolean {
  return /^[a-z][a-z0-9+]*:\/\//i.test(text) && text.split(',').every((each) => URL.canParse(each) && new URL(each).password === '' && !/[?&](password|sslpassword)=/i.test(each));
}

/** Without an issuer the keys in the directory are the only identity; whether there are any, the directory knows. */
function identity(config: Config): readonly UnsafeSetting[] {
  return one(!hasIssuer(config), 'AGENTOS_JWT_ISSUER', 'is not set, nor is AGENTOS_OIDC_ISSUERS_FILE: unless the directory holds API keys, nobody can be recognised.', 'Set AGENTOS_JWT_ISSUER with AGENTOS_JWT_JWKS_URI, or AGENTOS_OIDC_ISSUERS_FILE, or issue an API key first.');
}

export function hasIssuer({ values }: Config): boolean {
  return values.AGENTOS_JWT_ISSUER !== undefined || values.AGENTOS_OIDC_ISSUERS_FILE !== undefined;
}

/** True for what only the directory can excuse: it holds keys. */
export const isIdentityGap = (unsafe: UnsafeSetting): boolean => unsafe.variable === 'AGENTOS_JWT_ISSUER';

function transport({ values }: Config): readonly UnsafeSetting[] {
  const { AGENTOS_TLS_CERT_FILE: cert, AGENTOS_TLS_KEY_FILE: key, AGENTOS_TRUSTED_PROXY: proxies } = values;
  if ((cert === undefined) !== (key === undefined)) {
    const missing = cert === undefined ? 'AGENTOS_TLS_CERT_FILE' : 'AGENTOS_TLS_KEY_FILE';
    return one(true, missing, 'is not set, but its other half is.', 'Set AGENTOS_TLS_CERT_FILE and AGENTOS_TLS_KEY_FILE, both or neither.');
  }
  return one(cert === undefined && proxies.length === 0, 'AGENTOS_TLS_CERT_FILE', 'is not set, nor is AGENTOS_TRUSTED_PROXY: credentials would travel unencrypted.', 'Set AGENTOS_TLS_CERT_FILE and AGENTOS_TLS_KEY_FILE, or AGENTOS_TRUSTED_PROXY to the proxy that ends TLS (loopback, or its addresses).');
}

/** Nodes know each other by certificates alone, so a peer without them is one that will never be reached. */
function peers({ values }: Config, { federation }: UnsafeQuestion): readonly UnsafeSetting[] {
  const missing = (['AGENTOS_FED_SERVER_CERT', 'AGENTOS_FED_SERVER_KEY', 'AGENTOS_FED_CA_CERT'] as const).filter((name) => values[name] === undefined);
  if (!federation || missing.length === 0 || !namesPeers(values.AGENTOS_PEERS_FILE)) return [];
  return one(true, 'AGENTOS_PEERS_FILE', `names other nodes, and ${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} not set: nodes know each other by certificates.`, 'Set AGENTOS_FED_SERVER_CERT, AGENTOS_FED_SERVER_KEY and AGENTOS_FED_CA_CERT, or take the peers out of the file.');
}

/** What else may be wrong with the file, whoever reads it says. */
function namesPeers(path: string | undefined): boolean {
  if (path === undefined) return false;
  try {
    const { peers: named } = JSON.parse(readFileSync(path, 'utf8')) as { readonly peers?: unknown };
    return Array.isArray(named) && named.length > 0;
  } catch {
    return false;
  }
}

function isPlainHttp(url: string | undefined): boolean {
  return url !== undefined && URL.canParse(url) && new URL(url).protocol === 'http:' && !LOOPBACK.has(new URL(url).hostname);
}
