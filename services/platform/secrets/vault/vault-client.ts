/**
 * Vault's HTTP API as far as it is needed here: JSON in and out, its own errors turned into ours, and a few tries where
 * waiting helps. Requests go out by the egress client, which this one may use for this one host.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressClient } from '../../egress/egress-client.ts';
import { EgressPolicy, hostOf, portNumber } from '../../egress/egress-policy.ts';
import { AgentOsError } from '../../errors.ts';
import { noSecret } from '../secrets.ts';

export interface VaultConnection {
  /** e.g. `https://vault.internal:8200`. */
  readonly address: string;
  readonly namespace?: string;
  /** Certificate authority, PEM. */
  readonly ca?: string;
  /** One try, milliseconds. */
  readonly timeoutMs?: number;
  /** Before the second try; doubles with each further one. */
  readonly retryMs?: number;
}

export interface VaultRequest {
  readonly method: 'GET' | 'POST';
  /** After `/v1/`. */
  readonly path: string;
  readonly token?: string;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
}

export type VaultBody = Readonly<Record<string, unknown>>;

const TRIES = 3;
const MAX_BYTES = 2 * 1024 * 1024;
const LONGEST_WAIT_MS = 5_000;

export class VaultClient {
  readonly address: string;
  readonly #options: VaultConnection;
  readonly #egress: EgressClient;

  /** @throws Error for an address that cannot be used. */
  constructor(options: VaultConnection) {
    const url = new URL(options.address);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Error('it must begin with http:// or https://');
    if (url.username !== '' || url.password !== '') throw new Error('it must not hold a user name or password');
    const host = hostOf(url);
    this.address = url.origin;
    this.#options = options;
    this.#egress = new EgressClient({
      policy: new EgressPolicy({ allow: [`${host.includes(':') ? `[${host}]` : host}:${portNumber(url)}`], ports: [] }),
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    });
  }

  /** The answer's JSON. @throws AgentOsError as SecretsPort says; the words are Vault's own where it has some. */
  async request(request: VaultRequest): Promise<VaultBody> {
    for (let attempt = 1; ; attempt += 1) {
      const failure = await this.#once(request);
      if (failure.answer !== undefined) return failure.answer;
      if (attempt === TRIES || !failure.error.retryable || failure.error.code === 'timeout') throw failure.error;
      const waitMs = failure.waitMs ?? (this.#options.retryMs ?? 200) * 2 ** (attempt - 1);
      await sleep(Math.min(waitMs, LONGEST_WAIT_MS), undefined, request.signal === undefined ? {} : { signal: request.signal }).catch(() => {
        throw failure.error;
      });
    }
  }

  close(): Promise<void> {
    return this.#egress.close();
  }

  async #once(request: VaultRequest): Promise<{ readonly answer: VaultBody; readonly error?: never; readonly waitMs?: never } | { readonly answer?: never; readonly error: AgentOsError; readonly waitMs?: number }> {
    const { token, body } = request;
    try {
      const answer = await this.#egress.request({
        url: `${this.address}/v1/${request.path}`, method: request.method, maxRedirects: 1,
        headers: {
          accept: 'application/json', 'x-vault-request': 'true',
          ...(token === undefined ? {} : { 'x-vault-token': token }),
          ...(this.#options.namespace === undefined ? {} : { 'x-vault-namespace': this.#options.namespace }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body: body === undefined ? null : JSON.stringify(body),
        timeoutMs: this.#options.timeoutMs ?? 5_000, maxResponseBytes: MAX_BYTES,
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
      const parsed = parseObject(answer.body);
      if (answer.status === 200 && parsed !== null) return { answer: parsed };
      const retryAfterSeconds = Number(answer.headers['retry-after']);
      return { error: this.#failureOf(answer.status, parsed, request.path), ...(retryAfterSeconds > 0 ? { waitMs: retryAfterSeconds * 1_000 } : {}) };
    } catch (error) {
      if (!(error instanceof AgentOsError)) throw error;
      return { error: error.code === 'forbidden' ? unavailable(`Vault at ${this.address} sends elsewhere: ${error.message}`, 'vault_redirect', false) : error };
    }
  }

  #failureOf(status: number, body: VaultBody | null, path: string): AgentOsError {
    const words = wordsOf(body);
    const said = `Vault at ${this.address} answers ${status}${words === '' ? '' : ` (${words})`}`;
    if (status === 400) return new AgentOsError('invalid_request', { message: `${said} to ${path}.`, details: { service: 'vault', reason: 'vault_refused' } });
    if (status === 403) return new AgentOsError('forbidden', { message: `${said} to ${path}: its policies do not let this node read there, or its token has expired.`, details: { service: 'vault', reason: 'secret_refused' } });
    if (status === 404) return noSecret('vault', `${said}: there is nothing at ${path}.`);
    if (status === 429) return new AgentOsError('rate_limited', { message: `${said}: it is asked too often.`, details: { service: 'vault', reason: 'rate_limited' } });
    if (status === 503) return unavailable(`${said}: it is sealed or being started.`, 'vault_sealed', true);
    if (status === 200) return unavailable(`Vault at ${this.address} answers something that is not JSON.`, 'bad_answer', true);
    return unavailable(`${said}.`, 'vault_failed', status >= 500 || status === 412);
  }
}

const unavailable = (message: string, reason: string, retryable: boolean): AgentOsError => new AgentOsError('dependency_unavailable', { message, retryable, details: { service: 'vault', reason } });

function parseObject(body: Buffer): VaultBody | null {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as VaultBody) : null;
  } catch {
    return null;
  }
}

/** Vault's `errors`, on one line. */
function wordsOf(body: VaultBody | null): string {
  const errors: unknown = body?.['errors'];
  return Array.isArray(errors) ? errors.filter((each) => typeof each === 'string').join('; ').replace(/\s+/g, ' ').trim().slice(0, 200) : '';
}
