/**
 * `fetch` over the egress client, for libraries that bring their own protocol (MCP) and are handed a fetch. Bodies
 * are texts; redirects are followed by the egress rules whatever the caller asked for, unless it asked for none.
 */
import { Readable } from 'node:stream';
import { AgentOsError } from '../errors.ts';
import type { EgressClient, EgressRequest } from './egress-client.ts';

export type Fetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

const BODILESS_STATUSES = new Set([101, 204, 205, 304]);

/** Each answer holds at most `maxResponseBytes`; a stream of events counts as one answer. */
export function egressFetch(client: EgressClient, options: { readonly maxResponseBytes: number }): Fetch {
  return async (url, init = {}) => {
    if (init.body !== undefined && init.body !== null && typeof init.body !== 'string') throw new TypeError('The egress fetch sends texts.');
    const { status, headers, body } = await client.open({
      url,
      method: (init.method ?? 'GET').toUpperCase() as NonNullable<EgressRequest['method']>,
      headers: Object.fromEntries(new Headers(init.headers)),
      body: init.body ?? null,
      maxResponseBytes: options.maxResponseBytes,
      maxRedirects: init.redirect === undefined || init.redirect === 'follow' ? 3 : 0,
      ...(init.signal === undefined || init.signal === null ? {} : { signal: init.signal }),
    });
    // They describe the packed body, which this is no more.
    const { 'content-encoding': _encoding, 'content-length': _length, ...kept } = headers;
    if (BODILESS_STATUSES.has(status)) {
      body.resume();
      return new Response(null, { status: status === 101 ? 502 : status, headers: kept });
    }
    if (status < 200 || status > 599) throw new AgentOsError('dependency_unavailable', { message: `An answer with status ${status} cannot be used.`, details: { status } });
    return new Response(Readable.toWeb(body) as ReadableStream, { status, headers: kept });
  };
}
