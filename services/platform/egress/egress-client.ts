/**
 * The one way out: everything that this node requests on behalf of tenants goes through here.
 *
 * A URL is judged before anything happens; a name is resolved once a connection, each of its addresses is judged, and
 * the connection goes to exactly those, so that a name which answers differently a second time (rebinding) gains
 * nothing. Redirects are followed here and judged like the first URL. Proxy variables are not read.
 */
import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import { AgentOsError } from '../errors.ts';
import { EgressPolicy, hostOf, portNumber, refusedAddress, refusedEgress } from './egress-policy.ts';
import { ACCEPTED_ENCODINGS, boundedBody, collect } from './response-body.ts';

export interface EgressRequest {
  readonly url: string | URL;
  /** GET when absent. */
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | null;
  /** For all of it: connecting, redirects, the last byte. */
  readonly timeoutMs: number;
  readonly maxResponseBytes: number;
  /** At most three; none when 0. */
  readonly maxRedirects?: number;
  /** Asked for the first URL and each redirect; throws to refuse. */
  readonly permit?: (url: URL) => void;
  readonly signal?: AbortSignal;
}

export interface EgressResponse {
  readonly status: number;
  /** Lower-case names; several values of one name joined by a comma. */
  readonly headers: Readonly<Record<string, string>>;
  /** After redirects. */
  readonly url: string;
}

/** The host's addresses; replaced in tests. */
export type ResolveHost = (host: string) => Promise<readonly string[]>;

export interface EgressClientOptions {
  readonly policy: EgressPolicy;
  readonly resolve?: ResolveHost;
  readonly connectTimeoutMs?: number;
  /** Certificate authority (PEM) in place of the system's. */
  readonly ca?: string;
}

/** Ours to set, or the connection's: a caller that set them would speak to another host than the one that was judged. */
export const RESERVED_HEADERS: ReadonlySet<string> = new Set([
  'accept-encoding', 'connection', 'content-length', 'expect', 'host', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade',
]);

const MAX_REDIRECTS = 3;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** All that goes along to another origin: a header of any other name may be a credential. */
const HARMLESS_HEADERS = new Set(['accept', 'accept-language', 'content-type', 'user-agent']);

export class EgressClient {
  readonly policy: EgressPolicy;
  readonly #agent: Agent;
  readonly #resolve: ResolveHost;
  readonly #connectTimeoutMs: number;
  readonly #tls: { readonly ca?: string };

  constructor(options: EgressClientOptions) {
    this.policy = options.policy;
    this.#resolve = options.resolve ?? resolveByName;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
    this.#tls = options.ca === undefined ? {} : { ca: options.ca };
    this.#agent = new Agent({
      connections: 32, keepAliveTimeout: 4_000, headersTimeout: 0, bodyTimeout: 0, maxHeaderSize: 32 * 1024,
      connect: (options, callback) => this.#connect(options, callback as ConnectCallback),
    });
  }

  /**
   * The whole answer, whatever its status.
   * @throws AgentOsError forbidden (refused by a rule; nothing was connected), timeout, dependency_unavailable.
   */
  async request(request: EgressRequest): Promise<EgressResponse & { readonly body: Buffer }> {
    const timer = AbortSignal.timeout(request.timeoutMs);
    const signal = request.signal === undefined ? timer : AbortSignal.any([timer, request.signal]);
    try {
      const { body, ...head } = await this.open({ ...request, signal });
      return { ...head, body: await collect(body) };
    } catch (error) {
      if (timer.aborted) throw new AgentOsError('timeout', { message: `${hostForMessage(request.url)} did not answer within ${request.timeoutMs} ms.`, details: { timeout_ms: request.timeoutMs }, cause: error });
      if (request.signal?.aborted) throw new AgentOsError('timeout', { message: 'The request was abandoned.', details: { reason: 'aborted' }, cause: error });
      throw error instanceof AgentOsError ? error : unreachable(request.url, error);
    }
  }

  /** The answer as it arrives; only `signal` bounds its time. The caller reads `body` to its end or destroys it. */
  async open(request: Omit<EgressRequest, 'timeoutMs'>): Promise<EgressResponse & { readonly body: Readable }> {
    const allowed = Math.min(MAX_REDIRECTS, request.maxRedirects ?? MAX_REDIRECTS);
    let hop = { url: this.policy.checkUrl(request.url), method: request.method ?? 'GET', headers: ownHeaders(request.headers ?? {}), body: request.body ?? null };
    for (let redirects = 0; ; redirects += 1) {
      request.permit?.(hop.url);
      const answer = await this.#send(hop, request.signal);
      const location = answer.headers['location'];
      if (!REDIRECTS.has(answer.statusCode) || location === undefined || allowed === 0) return answered(answer, hop, request.maxResponseBytes);
      answer.body.on('error', () => undefined).destroy();
      if (redirects >= allowed) throw refusedEgress('redirect', `${hostOf(hop.url)} redirected more than ${allowed} times.`);
      hop = this.#redirected(hop, answer.statusCode, single(location));
    }
  }

  /** Connections are cut. */
  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #send(hop: Hop, signal: AbortSignal | undefined): Promise<Dispatcher.ResponseData> {
    try {
      return await this.#agent.request({
        origin: hop.url.origin, path: hop.url.pathname + hop.url.search, method: hop.method, body: hop.body,
        headers: { 'user-agent': 'AgentOS', ...hop.headers, 'accept-encoding': ACCEPTED_ENCODINGS },
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (error instanceof AgentOsError || signal?.aborted) throw error;
      throw unreachable(hop.url, error);
    }
  }

  #redirected(hop: Hop, status: number, location: string): Hop {
    if (!URL.canParse(location, hop.url.href)) throw refusedEgress('redirect', `${hostOf(hop.url)} redirected to something that is not a URL.`);
    const url = this.policy.checkUrl(new URL(location, hop.url));
    if (hop.url.protocol === 'https:' && url.protocol === 'http:') throw refusedEgress('redirect', `${hostOf(hop.url)} redirected from https to http.`);
    const headers = url.origin === hop.url.origin ? hop.headers : Object.fromEntries(Object.entries(hop.headers).filter(([name]) => HARMLESS_HEADERS.has(name)));
    const becomesGet = status === 303 ? hop.method !== 'HEAD' : (status === 301 || status === 302) && hop.method === 'POST';
    if (!becomesGet) return { ...hop, url, headers };
    const { 'content-type': _type, ...bodiless } = headers;
    return { url, method: 'GET', headers: bodiless, body: null };
  }

  #connect(options: buildConnector.Options, callback: ConnectCallback): void {
    this.#addressesOf(options).then(
      (addresses) => {
        // A connector of its own for each connection: its lookup knows exactly the addresses that were judged.
        const connect = buildConnector({ ...this.#tls, timeout: this.#connectTimeoutMs, maxCachedSessions: 0, lookup: lookupOf(addresses) });
        connect(options, callback as buildConnector.Callback);
      },
      (error: unknown) => callback(error as Error, null),
    );
  }

  async #addressesOf(options: buildConnector.Options): Promise<readonly string[]> {
    const url = new URL(`${options.protocol}//${options.host ?? options.hostname}`);
    const host = hostOf(url);
    const port = options.port === '' ? portNumber(url) : Number(options.port);
    const addresses = isIP(host) === 0 ? await this.#resolve(host).catch((error: unknown) => Promise.reject(unresolved(host, error))) : [host];
    const permitted = addresses.filter((address) => this.policy.permitsAddress(host, port, address));
    if (permitted.length === 0) throw addresses.length === 0 ? unresolved(host, null) : refusedAddress(host);
    return permitted;
  }
}

type ConnectCallback = (error: Error | null, socket: null) => void;

interface Hop {
  readonly url: URL;
  readonly method: NonNullable<EgressRequest['method']>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array | null;
}

function answered(answer: Dispatcher.ResponseData, { url, method }: Hop, maxBytes: number): EgressResponse & { readonly body: Readable } {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(answer.headers)) if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  // What has no body describes the one it would have had.
  const encoding = method === 'HEAD' || answer.statusCode === 204 || answer.statusCode === 304 ? undefined : headers['content-encoding'];
  return { status: answer.statusCode, headers, url: url.href, body: boundedBody(answer.body, encoding, maxBytes, hostOf(url)) };
}

const resolveByName: ResolveHost = async (host) => (await lookup(host, { all: true })).map(({ address }) => address);

function lookupOf(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_host, options, callback) => {
    if (options.all) callback(null, all);
    else callback(null, all[0]!.address, all[0]!.family);
  };
}

const ownHeaders = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const).filter(([name]) => !RESERVED_HEADERS.has(name)));

const single = (value: string | string[]): string => (Array.isArray(value) ? value[0]! : value);

const hostForMessage = (url: string | URL): string => (URL.canParse(String(url)) ? hostOf(new URL(String(url))) : 'The host');

const unresolved = (host: string, cause: unknown): AgentOsError => new AgentOsError('dependency_unavailable', { message: `The name ${host} cannot be resolved.`, details: { service: host, reason: 'unresolved' }, cause });

function unreachable(url: string | URL, error: unknown): AgentOsError {
  const cause = error as { code?: string; cause?: unknown } | null;
  // undici may wrap what our own connect function threw.
  if (cause?.cause instanceof AgentOsError) return cause.cause;
  const host = hostForMessage(url);
  return new AgentOsError('dependency_unavailable', { message: `${host} cannot be reached${typeof cause?.code === 'string' ? ` (${cause.code})` : ''}.`, details: { service: host, reason: 'unreachable' }, cause: error });
}
