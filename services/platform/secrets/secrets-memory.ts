/** Secrets in a map: the fake of the port. Names are `id#field`, as of a secret manager. */
import type { PortCapabilities } from '../port.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { noSecret, requireNode, type SecretsPort, type SecretValue } from './secrets.ts';

const ADAPTER = 'memory';

export class MemorySecrets implements SecretsPort {
  readonly #secrets = new Map<string, { readonly fields: Readonly<Record<string, string>>; readonly version: number }>();

  capabilities(): PortCapabilities {
    return { adapter: ADAPTER, contractVersion: '1.0', durable: false, features: ['fields'] };
  }

  /** Stores a secret, or a new version of it. */
  put(id: string, fields: Readonly<Record<string, string>>): void {
    this.#secrets.set(id, { fields, version: (this.#secrets.get(id)?.version ?? 0) + 1 });
  }

  remove(id: string): void {
    this.#secrets.delete(id);
  }

  async get(auth: AuthContext | null, name: string): Promise<SecretValue> {
    requireNode(auth, ADAPTER, name);
    const [id = '', field = ''] = name.split('#');
    const secret = this.#secrets.get(id);
    if (secret === undefined) throw noSecret(ADAPTER, `There is no secret ${name}.`);
    const value = secret.fields[field];
    if (value === undefined) throw noSecret(ADAPTER, `The secret ${id} has no field ${field}.`);
    return { value, version: String(secret.version) };
  }

  async close(): Promise<void> {}
}
