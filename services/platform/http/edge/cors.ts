/**
 * Which web pages may read answers (CORS, WHATWG Fetch §3.2). Off unless configuration lists origins, each exactly: a
 * wildcard would hand whatever a browser holds to any page, so there is none.
 */
import type { IncomingMessage } from 'node:http';
import { ConfigError } from '../../config/load.ts';
import type { Headers } from '../reply.ts';

export interface Cors {
  /** Headers for the answer to this request; the same object for all that are alike. */
  headersFor(origin: string | undefined): Headers;
  /** The answer to a preflight request from a listed origin; null for everything else. */
  preflight(request: IncomingMessage): Headers | null;
  allows(origin: string): boolean;
}

/** Answer headers of ours that pages may read beside the few that they always may. */
const EXPOSED = [
  'X-Correlation-Id', 'X-Request-Id', 'X-Tenant-Id', 'traceparent', 'Idempotency-Replayed', 'Location', 'RateLimit', 'RateLimit-Policy', 'Retry-After',
  'retry-after-ms', 'x-should-retry', 'WWW-Authenticate',
].join(', ');
const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE';
const PREFLIGHT_SECONDS = '600';
/** Names of headers, and no more of them than a client could mean. */
const HEADER_NAMES = /^[A-Za-z0-9-]+(?:\s*,\s*[A-Za-z0-9-]+){0,49}$/;

const VARY = 'Origin';
const VARY_PREFLIGHT = 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers';

/** @returns null when no origin is listed. @throws ConfigError that names the entry which is no origin. */
export function createCors(origins: readonly string[]): Cors | null {
  if (origins.length === 0) return null;
  const listed = new Map(origins.map((entry) => [checkOrigin(entry), allowing(entry)]));
  const unlisted: Headers = { vary: VARY };
  return {
    allows: (origin) => listed.has(origin),
    headersFor: (origin) => (origin === undefined ? unlisted : (listed.get(origin) ?? unlisted)),
    preflight(request) {
      const { origin } = request.headers;
      if (request.method !== 'OPTIONS' || origin === undefined || request.headers['access-control-request-method'] === undefined || !listed.has(origin)) return null;
      const asked = request.headers['access-control-request-headers'];
      return {
        'access-control-allow-origin': origin,
        'access-control-allow-credentials': 'true',
        'access-control-allow-methods': METHODS,
        // A listed origin may send any header: which ones mean something is decided where they are read.
        ...(asked !== undefined && HEADER_NAMES.test(asked) ? { 'access-control-allow-headers': asked } : {}),
        'access-control-max-age': PREFLIGHT_SECONDS,
        vary: VARY_PREFLIGHT,
      };
    },
  };
}

function allowing(origin: string): Headers {
  return { 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true', 'access-control-expose-headers': EXPOSED, vary: VARY };
}

function checkOrigin(entry: string): string {
  if (entry === '*') throw new ConfigError('AGENTOS_CORS_ORIGINS', 'AGENTOS_CORS_ORIGINS is *, which would let any web page act here. List the origins of your own pages, e.g. https://console.example.com.');
  const origin = URL.canParse(entry) ? new URL(entry) : null;
  if (origin === null || !/^https?:$/.test(origin.protocol) || origin.origin !== entry || entry.includes('*')) {
    throw new ConfigError('AGENTOS_CORS_ORIGINS', `AGENTOS_CORS_ORIGINS: ${JSON.stringify(entry)} is no origin. Write scheme, host and, where it is not the usual one, port: https://console.example.com.`);
  }
  return entry;
}
