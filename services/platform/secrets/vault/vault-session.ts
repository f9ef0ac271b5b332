/**
 * The token that reads are made with: given, or had by logging in (AppRole, Kubernetes), and renewed at two thirds of
 * its life. A token that cannot be renewed any more is replaced by a new login.
 */
import { readFile } from 'node:fs/promises';
import { AgentOsError } from '../../errors.ts';
import type { VaultBody, VaultClient } from './vault-client.ts';

export type VaultAuth =
  /** Asked for each time, so that a token that an agent renews in a file is seen. */
  | { readonly kind: 'token'; readonly token: () => string | Promise<string> }
  | { readonly kind: 'approle'; readonly mount: string; readonly roleId: string; readonly secretId: () => string | Promise<string> }
  | { readonly kind: 'kubernetes'; readonly mount: string; readonly role: string; readonly jwtFile: string };

/** Renewals do not come closer than this, whatever a lease says. */
const SHORTEST_MS = 1_000;
const LONGEST_MS = 2 ** 31 - 1;

export class VaultSession {
  readonly #client: VaultClient;
  readonly #auth: VaultAuth;
  #token: Promise<string> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  /** The given token that renewals were arranged for. */
  #arranged: string | null = null;

  constructor(client: VaultClient, auth: VaultAuth) {
    this.#client = client;
    this.#auth = auth;
  }

  /** @throws AgentOsError when logging in fails. */
  async token(signal?: AbortSignal): Promise<string> {
    if (this.#auth.kind === 'token') {
      const token = (await this.#auth.token()).trim();
      if (token !== this.#arranged) {
        this.#arranged = token;
        void this.#arrangeGiven(token);
      }
      return token;
    }
    this.#token ??= this.#login(signal).catch((error: unknown) => {
      this.#token = null;
      throw error;
    });
    return this.#token;
  }

  /** Vault refused this token. True when another one may be had. */
  drop(token: string): Promise<boolean> {
    if (this.#auth.kind === 'token') return Promise.resolve(this.#auth.token()).then((now) => now.trim() !== token, () => false);
    this.#token = null;
    return Promise.resolve(true);
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  async #login(signal?: AbortSignal): Promise<string> {
    const auth = this.#auth as Exclude<VaultAuth, { kind: 'token' }>;
    const body = auth.kind === 'approle' ? { role_id: auth.roleId, secret_id: (await auth.secretId()).trim() } : { role: auth.role, jwt: await this.#readJwt(auth.jwtFile) };
    const answer = await this.#client.request({ method: 'POST', path: `auth/${auth.mount}/login`, body, ...(signal === undefined ? {} : { signal }) }).catch((error: unknown) => {
      throw error instanceof AgentOsError ? new AgentOsError(error.code === 'invalid_request' ? 'forbidden' : error.code, { message: `Logging in to Vault by ${auth.kind} failed. ${error.message}`, retryable: error.retryable, ...(error.details === undefined ? {} : { details: error.details }), cause: error }) : error;
    });
    const { client_token: token, lease_duration: seconds, renewable } = (answer['auth'] ?? {}) as { client_token?: unknown; lease_duration?: unknown; renewable?: unknown };
    if (typeof token !== 'string' || token === '') throw new AgentOsError('dependency_unavailable', { message: `Vault at ${this.#client.address} logged this node in without giving it a token.`, details: { service: 'vault', reason: 'bad_answer' } });
    this.#arrange(token, Number(seconds ?? 0), renewable === true);
    return token;
  }

  async #readJwt(file: string): Promise<string> {
    try {
      return (await readFile(file, 'utf8')).trim();
    } catch (cause) {
      throw new AgentOsError('forbidden', { message: `The service account's token ${file} cannot be read (${(cause as NodeJS.ErrnoException).code}).`, details: { service: 'vault', reason: 'secret_refused' }, cause });
    }
  }

  /** How long a given token lives is Vault's to say; a token that may not ask is used as it is. */
  async #arrangeGiven(token: string): Promise<void> {
    const answer = await this.#client.request({ method: 'GET', path: 'auth/token/lookup-self', token }).catch((): VaultBody => ({}));
    const { ttl, renewable } = (answer['data'] ?? {}) as { ttl?: unknown; renewable?: unknown };
    if (renewable === true) this.#arrange(token, Number(ttl ?? 0), true);
  }

  #arrange(token: string, seconds: number, renewable: boolean): void {
    if (this.#closed || !(seconds > 0)) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const waitMs = Math.min(Math.max((seconds * 1_000 * 2) / 3, SHORTEST_MS), LONGEST_MS);
    this.#timer = setTimeout(() => void this.#renew(token, renewable), waitMs).unref();
  }

  async #renew(token: string, renewable: boolean): Promise<void> {
    const answer = renewable ? await this.#client.request({ method: 'POST', path: 'auth/token/renew-self', token, body: {} }).catch(() => null) : null;
    const { lease_duration: seconds, renewable: again } = (answer?.['auth'] ?? {}) as { lease_duration?: unknown; renewable?: unknown };
    if (Number(seconds) > 0) return this.#arrange(token, Number(seconds), again === true);
    // Near the end of its longest life a token is not renewed any more: the next read logs in.
    if (this.#auth.kind !== 'token') this.#token = null;
  }
}
