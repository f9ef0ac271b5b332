/** Where this node's secrets are kept: its environment, files, a secret manager. */
import type { PortCapabilities } from '../port.ts';
import { AgentOsError } from '../errors.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';

export interface SecretValue {
  readonly value: string;
  /** The keeper's own version, or what stands for one. It changes when the value does and tells nothing of it. */
  readonly version: string;
}

export interface GetSecretOptions {
  readonly signal?: AbortSignal;
}

/**
 * Tenancy: what is kept here belongs to the node. `null` asks as the node; a tenant's context is answered as if there
 * were no secrets at all. Reads are safe to repeat and see the newest value; nothing is remembered between them.
 *
 * Errors: not_found (no such secret, or no such field in it), forbidden (the keeper refuses this node),
 * dependency_unavailable (away, sealed, babbling), rate_limited, timeout. None of them repeats a value.
 */
export interface SecretsPort {
  capabilities(): PortCapabilities;
  /** `name` is the keeper's: a variable, a path, `mount/path#field`. @throws AgentOsError as above. */
  get(auth: AuthContext | null, name: string, options?: GetSecretOptions): Promise<SecretValue>;
  close(): Promise<void>;
}

/** @throws AgentOsError not_found for everybody but the node. */
export function requireNode(auth: AuthContext | null, adapter: string, name: string): void {
  if (auth !== null) throw noSecret(adapter, `There is no secret ${name}.`);
}

/** `details.reason` is secret_missing. */
export function noSecret(adapter: string, message: string, cause?: unknown): AgentOsError {
  return new AgentOsError('not_found', { message, details: { service: adapter, reason: 'secret_missing' }, cause });
}
