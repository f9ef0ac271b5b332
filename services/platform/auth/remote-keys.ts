/**
 * The keys of an issuer that publishes them: at `jwks_uri`, or where its discovery document says.
 *
 * They are read again when half of their time has passed, and waited for when all of it has, so that a key which was
 * withdrawn is refused in time. A key id that nobody knows has them read again at once, but only one attempt is made
 * in a cooldown, however many such ids come. While the issuer is away the keys that are known go on for a day.
 */
import type { Logger } from 'pino';
import { AgentOsError } from '../errors.ts';
import type { EgressClient } from '../egress/egress-client.ts';
import { KeyRing, parseJwks, type IssuerKey, type JwtAlgorithm, type KeySource, type KeySourceState } from './issuer-keys.ts';

export interface RemoteKeysOptions {
  readonly issuer: string;
  /** Where the JWKS is; null: the discovery document of the issuer tells. */
  readonly jwksUri: string | null;
  /** Of the discovery document; by default the issuer's name with `/.well-known/openid-configuration`. */
  readonly discoveryUrl?: string;
  readonly egress: Pick<EgressClient, 'request' | 'close'>;
  readonly cooldownMs: number;
  /** The keys are never older than this while their issuer answers. */
  readonly maxAgeMs: number;
  readonly log: Logger | null;
  /** Milliseconds; `performance.now` when absent. */
  readonly now?: () => number;
}

const FETCH_TIMEOUT_MS = 5_000;
const MAX_DOCUMENT_BYTES = 512 * 1024;
/** How often a node that knows no key at all asks for them. */
const FIRST_COOLDOWN_MS = 1_000;
const MAX_OUTAGE_MS = 24 * 3_600_000;
const DISCOVERY_MAX_AGE_MS = 3_600_000;

export class RemoteKeys implements KeySource {
  readonly #options: RemoteKeysOptions;
  readonly #now: () => number;
  readonly #ring = new KeyRing();
  #discovered: { readonly jwksUri: string; readonly at: number } | null = null;
  #succeededAt: number | null = null;
  #attemptedAt: number | null = null;
  #failing = false;
  #fetching: Promise<void> | null = null;
  readonly #fetches = { succeeded: 0, failed: 0 };

  constructor(options: RemoteKeysOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  isFresh(): boolean {
    const age = this.#age();
    if (age > this.#options.maxAgeMs / 2) void this.refresh();
    // While the issuer is known to be away there is nothing to wait for.
    return age <= (this.#failing ? MAX_OUTAGE_MS : this.#options.maxAgeMs);
  }

  async find(kid: string | undefined, alg: JwtAlgorithm): Promise<IssuerKey | null> {
    if (kid === undefined) return null;
    if (!this.isFresh()) await this.refresh();
    const known = this.#ring.find(kid, alg);
    if (known !== null) return known;
    await this.#attempt();
    const found = this.#ring.find(kid, alg);
    if (found === null && this.#failing) throw unavailable(this.#options.issuer);
    return found;
  }

  refresh(): Promise<void> {
    return this.#age() > this.#options.maxAgeMs / 2 ? this.#attempt() : Promise.resolve();
  }

  state(): KeySourceState {
    return { keys: this.#ring.size, ageSeconds: this.#succeededAt === null ? null : (this.#now() - this.#succeededAt) / 1_000, failing: this.#failing, fetches: { ...this.#fetches } };
  }

  close(): Promise<void> {
    return this.#options.egress.close();
  }

  #age(): number {
    return this.#succeededAt === null ? Infinity : this.#now() - this.#succeededAt;
  }

  /** One at a time, and one a cooldown. */
  #attempt(): Promise<void> {
    if (this.#fetching !== null) return this.#fetching;
    const cooldownMs = this.#ring.size === 0 ? Math.min(FIRST_COOLDOWN_MS, this.#options.cooldownMs) : this.#options.cooldownMs;
    if (this.#attemptedAt !== null && this.#now() - this.#attemptedAt < cooldownMs) return Promise.resolve();
    this.#attemptedAt = this.#now();
    this.#fetching = this.#fetch().finally(() => {
      this.#fetching = null;
    });
    return this.#fetching;
  }

  async #fetch(): Promise<void> {
    const { issuer, log } = this.#options;
    const startedAt = this.#now();
    try {
      this.#ring.use(parseJwks(await this.#read(await this.#jwksUri())));
      this.#succeededAt = startedAt;
      this.#fetches.succeeded += 1;
      if (this.#failing) log?.info({ issuer, keys: this.#ring.size }, 'The keys of a token issuer can be read again.');
      this.#failing = false;
    } catch (error) {
      this.#fetches.failed += 1;
      this.#discovered = null;
      if (!this.#failing) log?.warn({ issuer, err: error, keys: this.#ring.size }, 'The keys of a token issuer cannot be read; those that are known go on for a day.');
      this.#failing = true;
      if (this.#age() > MAX_OUTAGE_MS) this.#ring.clear();
    }
  }

  async #jwksUri(): Promise<string> {
    const { issuer, jwksUri } = this.#options;
    if (jwksUri !== null) return jwksUri;
    if (this.#discovered !== null && this.#now() - this.#discovered.at < DISCOVERY_MAX_AGE_MS) return this.#discovered.jwksUri;
    const document = JSON.parse(await this.#read(this.#options.discoveryUrl ?? `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)) as { issuer?: unknown; jwks_uri?: unknown } | null;
    // OpenID Connect Discovery 4.3: a document that names another issuer is somebody else's.
    if (document?.issuer !== issuer) throw new Error(`the discovery document names the issuer ${JSON.stringify(document?.issuer)}`);
    if (typeof document.jwks_uri !== 'string') throw new Error('the discovery document names no jwks_uri');
    if (issuer.startsWith('https:') && !document.jwks_uri.startsWith('https:')) throw new Error('the discovery document of an https issuer names a jwks_uri without https');
    this.#discovered = { jwksUri: document.jwks_uri, at: this.#now() };
    return document.jwks_uri;
  }

  async #read(url: string): Promise<string> {
    const answer = await this.#options.egress.request({ url, headers: { accept: 'application/json' }, timeoutMs: FETCH_TIMEOUT_MS, maxResponseBytes: MAX_DOCUMENT_BYTES, maxRedirects: 0 });
    if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}`);
    return answer.body.toString('utf8');
  }
}

function unavailable(issuer: string): AgentOsError {
  return new AgentOsError('dependency_unavailable', { message: `The keys of the token issuer ${issuer} cannot be read now.`, details: { service: 'jwks' }, retryAfterSeconds: 5 });
}
