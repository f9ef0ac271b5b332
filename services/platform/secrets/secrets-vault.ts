/** Secrets in HashiCorp Vault's key-value engine, version 2. Names are `mount/path#field`. */
import { AgentOsError } from '../errors.ts';
import type { PortCapabilities } from '../port.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { noSecret, requireNode, type GetSecretOptions, type SecretsPort, type SecretValue } from './secrets.ts';
import { VaultClient, type VaultBody, type VaultConnection } from './vault/vault-client.ts';
import { VaultSession, type VaultAuth } from './vault/vault-session.ts';

const ADAPTER = 'vault';

export interface VaultSettings extends VaultConnection {
  readonly auth: VaultAuth;
}

interface Secret {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly version: string;
}

export class VaultSecrets implements SecretsPort {
  readonly #client: VaultClient;
  readonly #session: VaultSession;
  /** Reads under way, by path: the fields of a secret are wanted together, and one answer holds them all. */
  readonly #reading = new Map<string, Promise<Secret>>();

  /** @throws Error for an address that cannot be used. */
  constructor(settings: VaultSettings) {
    this.#client = new VaultClient(settings);
    this.#session = new VaultSession(this.#client, settings.auth);
  }

  capabilities(): PortCapabilities {
    return { adapter: ADAPTER, contractVersion: '1.0', durable: true, features: ['fields'] };
  }

  async get(auth: AuthContext | null, name: string, options: GetSecretOptions = {}): Promise<SecretValue> {
    requireNode(auth, ADAPTER, name);
    const [, mount, path, field] = /^([^/#]+)\/([^#]+)#([^#]+)$/.exec(name) ?? [];
    // `..` would climb out of the mount: every URL parser takes it away before the request.
    if (mount === undefined || path === undefined || field === undefined || [mount, ...path.split('/')].some((part) => part === '.' || part === '..' || part === '')) throw new AgentOsError('invalid_request', { message: `'${name}' is not of the form <mount>/<path>#<field>.`, details: { service: ADAPTER } });
    const secret = await this.#read(`${encodeURIComponent(mount)}/data/${path.split('/').map(encodeURIComponent).join('/')}`, options.signal);
    const value = secret.fields[field];
    if (typeof value === 'string' && value !== '') return { value, version: secret.version };
    if (typeof value === 'number' || typeof value === 'boolean') return { value: String(value), version: secret.version };
    throw noSecret(ADAPTER, `The secret ${mount}/${path} has no field '${field}'; its fields are ${Object.keys(secret.fields).sort().join(', ') || 'none'}.`);
  }

  async close(): Promise<void> {
    this.#session.close();
    await this.#client.close();
  }

  #read(path: string, signal?: AbortSignal): Promise<Secret> {
    const underWay = this.#reading.get(path);
    if (underWay !== undefined) return underWay;
    const reading = this.#readOnce(path, signal).finally(() => this.#reading.delete(path));
    this.#reading.set(path, reading);
    return reading;
  }

  async #readOnce(path: string, signal?: AbortSignal): Promise<Secret> {
    const read = async (token: string): Promise<VaultBody> => this.#client.request({ method: 'GET', path, token, ...(signal === undefined ? {} : { signal }) });
    const token = await this.#session.token(signal);
    const answer = await read(token).catch(async (error: unknown) => {
      // A token that expired or was revoked looks like one that may not read: another token tells them apart.
      if (!(error instanceof AgentOsError) || error.code !== 'forbidden' || !(await this.#session.drop(token))) throw error;
      return read(await this.#session.token(signal));
    });
    const { data, metadata } = (answer['data'] ?? {}) as { data?: unknown; metadata?: { version?: unknown } };
    if (typeof data !== 'object' || data === null) throw noSecret(ADAPTER, `What Vault keeps at ${path} is not a secret of the key-value engine, version 2.`);
    return { fields: data as Secret['fields'], version: String(metadata?.version ?? 'unknown') };
  }
}
