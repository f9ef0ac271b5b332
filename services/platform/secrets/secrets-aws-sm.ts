/**
 * Secrets in AWS Secrets Manager. Names are `id#field`, the field one of the secret's JSON object, or `id` for the whole
 * of it; the id is a name or an ARN. The SDK signs with the usual chain of AWS credentials, and is loaded when the first
 * secret is read: it takes longer to load than everything else here.
 */
import type { GetSecretValueCommandOutput, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { AgentOsError } from '../errors.ts';
import type { PortCapabilities } from '../port.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { noSecret, requireNode, type GetSecretOptions, type SecretsPort, type SecretValue } from './secrets.ts';

const ADAPTER = 'aws-sm';

export interface AwsSecretsSettings {
  /** Absent: the region of the SDK's own chain. An ARN names its own. */
  readonly region?: string;
  /** In place of the region's own endpoint. */
  readonly endpoint?: string;
  /** In place of the AWS chain. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** One read with its repetitions, milliseconds. */
  readonly timeoutMs?: number;
  readonly maxAttempts?: number;
}

interface Loaded {
  readonly sdk: typeof import('@aws-sdk/client-secrets-manager');
  readonly clientOf: (region: string | undefined) => SecretsManagerClient;
  readonly clients: ReadonlyMap<string, SecretsManagerClient>;
}

export class AwsSecrets implements SecretsPort {
  readonly #settings: AwsSecretsSettings;
  #loaded: Promise<Loaded> | null = null;
  readonly #reading = new Map<string, Promise<GetSecretValueCommandOutput>>();

  constructor(settings: AwsSecretsSettings = {}) {
    this.#settings = settings;
  }

  capabilities(): PortCapabilities {
    return { adapter: ADAPTER, contractVersion: '1.0', durable: true, features: ['fields'] };
  }

  async get(auth: AuthContext | null, name: string, options: GetSecretOptions = {}): Promise<SecretValue> {
    requireNode(auth, ADAPTER, name);
    const [id = '', field] = name.split('#');
    if (id === '' || field === '') throw new AgentOsError('invalid_request', { message: `'${name}' is not of the form <secret id>#<field>.`, details: { service: ADAPTER } });
    const output = await this.#read(id, options.signal);
    const text = output.SecretString ?? (output.SecretBinary === undefined ? '' : Buffer.from(output.SecretBinary).toString('utf8'));
    const value = field === undefined ? text : fieldOf(id, text, field);
    if (value === '') throw noSecret(ADAPTER, `The secret ${id} is empty.`);
    return { value, version: output.VersionId ?? 'unknown' };
  }

  async close(): Promise<void> {
    const loaded = await this.#loaded?.catch(() => null);
    for (const client of loaded?.clients.values() ?? []) client.destroy();
  }

  #read(id: string, signal?: AbortSignal): Promise<GetSecretValueCommandOutput> {
    const underWay = this.#reading.get(id);
    if (underWay !== undefined) return underWay;
    const reading = this.#readOnce(id, signal).finally(() => this.#reading.delete(id));
    this.#reading.set(id, reading);
    return reading;
  }

  async #readOnce(id: string, signal?: AbortSignal): Promise<GetSecretValueCommandOutput> {
    const timeoutMs = this.#settings.timeoutMs ?? 10_000;
    const timer = AbortSignal.timeout(timeoutMs);
    try {
      const { sdk, clientOf } = await (this.#loaded ??= load(this.#settings));
      const region = /^arn:[^:]+:secretsmanager:([^:]+):/.exec(id)?.[1];
      return await clientOf(region).send(new sdk.GetSecretValueCommand({ SecretId: id }), { abortSignal: signal === undefined ? timer : AbortSignal.any([timer, signal]) });
    } catch (error) {
      if (timer.aborted) throw new AgentOsError('timeout', { message: `AWS Secrets Manager did not answer within ${timeoutMs} ms.`, details: { service: ADAPTER, timeout_ms: timeoutMs }, cause: error });
      throw failureOf(id, error as Error & { readonly $metadata?: { readonly httpStatusCode?: number } });
    }
  }
}

async function load(settings: AwsSecretsSettings): Promise<Loaded> {
  const [sdk, { NodeHttpHandler }] = await Promise.all([import('@aws-sdk/client-secrets-manager'), import('@smithy/node-http-handler')]);
  const clients = new Map<string, SecretsManagerClient>();
  const clientOf = (own: string | undefined): SecretsManagerClient => {
    const region = own ?? settings.region;
    const known = clients.get(region ?? '');
    if (known !== undefined) return known;
    const client = new sdk.SecretsManagerClient({
      maxAttempts: settings.maxAttempts ?? 3,
      requestHandler: new NodeHttpHandler({ connectionTimeout: 5_000 }),
      ...(region === undefined ? {} : { region }),
      ...(settings.endpoint === undefined ? {} : { endpoint: settings.endpoint }),
      ...(settings.credentials === undefined ? {} : { credentials: settings.credentials }),
    });
    clients.set(region ?? '', client);
    return client;
  };
  return { sdk, clientOf, clients };
}

function fieldOf(id: string, text: string, field: string): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = null;
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw noSecret(ADAPTER, `The secret ${id} is no JSON object, so it has no field '${field}'; leave out #${field} for the whole of it.`);
  const value = (parsed as Record<string, unknown>)[field];
  if (typeof value === 'string' && value !== '') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw noSecret(ADAPTER, `The secret ${id} has no field '${field}'; its fields are ${Object.keys(parsed).sort().join(', ') || 'none'}.`);
}

const REFUSALS = new Set(['AccessDeniedException', 'UnrecognizedClientException', 'InvalidSignatureException', 'ExpiredTokenException', 'MissingAuthenticationTokenException', 'InvalidClientTokenId', 'SignatureDoesNotMatch', 'DecryptionFailure']);
const BUSY = new Set(['ThrottlingException', 'Throttling', 'TooManyRequestsException', 'RequestLimitExceeded']);

/** The SDK's errors name the caller and its account; of them only the kind is told. */
function failureOf(id: string, error: Error & { readonly $metadata?: { readonly httpStatusCode?: number } }): AgentOsError {
  const status = error.$metadata?.httpStatusCode;
  const details = { service: ADAPTER, reason: 'secret_refused', kind: error.name };
  if (error.name === 'ResourceNotFoundException') return noSecret(ADAPTER, `AWS Secrets Manager has no secret ${id} in this account and region.`, error);
  if (error.name === 'InvalidRequestException') return noSecret(ADAPTER, `The secret ${id} is marked for deletion in AWS Secrets Manager.`, error);
  if (REFUSALS.has(error.name)) return new AgentOsError('forbidden', { message: `AWS Secrets Manager refuses ${id} (${error.name}): this node needs secretsmanager:GetSecretValue on it, and kms:Decrypt on its key.`, details, cause: error });
  if (error.name === 'CredentialsProviderError') return new AgentOsError('forbidden', { message: 'This node has no credentials for AWS: neither the environment, a profile, a web identity, a container nor an instance role gave any.', details, cause: error });
  if (BUSY.has(error.name) || status === 429) return new AgentOsError('rate_limited', { message: `AWS Secrets Manager is asked too often (${error.name}).`, details: { ...details, reason: 'rate_limited' }, cause: error });
  if (/Region is missing/.test(error.message)) return new AgentOsError('invalid_request', { message: 'AWS_REGION is not set, and the secret is not named by its ARN.', details, cause: error });
  return new AgentOsError('dependency_unavailable', { message: `AWS Secrets Manager cannot be reached or fails (${status ?? (error as NodeJS.ErrnoException).code ?? error.name}).`, details: { service: ADAPTER, reason: 'secrets_unavailable' }, cause: error });
}
