/** Secrets in the variables of a process: for demo and dev. They show in process lists and crash reports, so prod refuses them. */
import type { PortCapabilities } from '../port.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { noSecret, requireNode, type SecretsPort, type SecretValue } from './secrets.ts';

const ADAPTER = 'environment';

export class EnvironmentSecrets implements SecretsPort {
  readonly #env: Readonly<Record<string, string | undefined>>;

  constructor(env: Readonly<Record<string, string | undefined>> = process.env) {
    this.#env = env;
  }

  capabilities(): PortCapabilities {
    return { adapter: ADAPTER, contractVersion: '1.0', durable: false, features: [] };
  }

  async get(auth: AuthContext | null, name: string): Promise<SecretValue> {
    requireNode(auth, ADAPTER, name);
    const value = this.#env[name];
    if (value === undefined || value === '') throw noSecret(ADAPTER, `There is no secret ${name}.`);
    return { value, version: 'environment' };
  }

  async close(): Promise<void> {}
}
