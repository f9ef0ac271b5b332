/**
 * Demo mode believes headers because only this machine can reach it. A web page on this machine can as well: by calling
 * 127.0.0.1 from any site, or by having its own name resolve there (DNS rebinding). So what a browser sends on behalf of
 * another site, and what was sent to another name, is refused; programs send no Origin and are not concerned.
 */
import type { IncomingMessage } from 'node:http';
import { AgentOsError } from '../../errors.ts';
import type { Cors } from './cors.ts';
import { isLoopback } from './trusted-proxy.ts';

/** @throws AgentOsError forbidden. */
export function refuseForeignSites(request: IncomingMessage, cors: Cors | null): void {
  const { host, origin } = request.headers;
  if (host !== undefined && !isLocalName(host)) {
    throw new AgentOsError('forbidden', {
      message: 'In demo mode this service answers to localhost and 127.0.0.1 only. Use AGENTOS_MODE=dev or prod to serve it under another name.',
      details: { reason: 'foreign_host' },
    });
  }
  if (origin === undefined || cors?.allows(origin) === true || isLocalOrigin(origin)) return;
  throw new AgentOsError('forbidden', {
    message: 'In demo mode this service takes nothing from web pages of other sites. List the origin in AGENTOS_CORS_ORIGINS to allow one.',
    details: { reason: 'foreign_origin' },
  });
}

function isLocalOrigin(origin: string): boolean {
  return URL.canParse(origin) && isLocalName(new URL(origin).host);
}

/** @param host as in the Host header: a name or an address, perhaps with a port. */
function isLocalName(host: string): boolean {
  const name = host.replace(/:\d+$/, '').toLowerCase();
  return name === 'localhost' || name.endsWith('.localhost') || isLoopback(name.replace(/^\[(.*)\]$/, '$1'));
}
