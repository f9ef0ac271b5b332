/**
 * The edge: what happens to a request before anybody asks which operation it means and who sent it.
 *
 *   whose address is it → is the sender too fast → is a web page asking whether it may → do its headers contradict each other
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Exchange } from '../exchange.ts';
import { writeEmpty, commonHeaders, type Headers } from '../reply.ts';
import type { Cors } from './cors.ts';
import { addressGroup, type EdgeLimits } from './limits.ts';
import { refuseForeignSites } from './local-only.ts';
import { refuseAtTheEdge } from './malformed.ts';
import { isLoopback, normaliseAddress, parseTrustedProxies, type TrustedProxies } from './trusted-proxy.ts';

export interface EdgeOptions {
  readonly proxies: TrustedProxies;
  /** null: no web page of another origin may read answers. */
  readonly cors: Cors | null;
  /** null: not limited. */
  readonly limits: EdgeLimits | null;
  /** Refuse what browsers send on behalf of other sites; for demo mode, where a header is an identity. */
  readonly localOnly: boolean;
  /** Connections that one address may hold at once; neither loopback nor trusted proxies are counted. */
  readonly maxConnectionsPerAddress: number;
}

/** No proxy is believed, no page may read, nobody is limited. */
export const OPEN_EDGE: EdgeOptions = { proxies: parseTrustedProxies([]), cors: null, limits: null, localOnly: false, maxConnectionsPerAddress: Number.POSITIVE_INFINITY };

export interface Edge {
  /** Establishes whose request it is. True when it has been answered here. @throws AgentOsError for what is refused. */
  enter(exchange: Exchange): boolean;
  /** Told once a request was answered, so that refused credentials count. */
  left(exchange: Exchange, status: number): void;
  /** False when the connection was one too many and has been closed. */
  connected(socket: Socket): boolean;
}

export function createEdge({ proxies, cors, limits, localOnly, maxConnectionsPerAddress }: EdgeOptions): Edge {
  const connections = new Map<string, number>();
  return {
    enter(exchange) {
      const { request } = exchange;
      exchange.clientAddress = proxies.clientAddress(request.socket.remoteAddress ?? '', request.headers['x-forwarded-for']);
      exchange.secure = isSecure(request, proxies);
      if (cors !== null) exchange.edgeHeaders = cors.headersFor(request.headers.origin);
      if (limits !== null) limit(exchange, limits);
      if (localOnly) refuseForeignSites(request, cors);
      const preflight = cors?.preflight(request) ?? null;
      if (preflight !== null) {
        writeEmpty(exchange.response, 204, { ...commonHeaders(exchange), ...preflight });
        return true;
      }
      refuseAtTheEdge(request);
      return false;
    },
    left({ caller, authenticated }, status) {
      if (limits === null || caller === null) return;
      if (authenticated) limits.accepted(caller);
      else if (status === 401) limits.refused(caller);
    },
    connected(socket) {
      if (maxConnectionsPerAddress === Number.POSITIVE_INFINITY) return true;
      const peer = normaliseAddress(socket.remoteAddress ?? '');
      if (isLoopback(peer) || proxies.trusts(peer)) return true;
      const key = addressGroup(peer);
      const held = (connections.get(key) ?? 0) + 1;
      if (held > maxConnectionsPerAddress) {
        socket.destroy();
        return false;
      }
      connections.set(key, held);
      socket.once('close', () => {
        const left = connections.get(key)! - 1;
        if (left === 0) connections.delete(key);
        else connections.set(key, left);
      });
      return true;
    },
  };
}

/** @throws AgentOsError rate_limited. */
function limit(exchange: Exchange, limits: EdgeLimits): void {
  exchange.caller = limits.identify(exchange.clientAddress, exchange.request.headers);
  const told: Headers = {};
  try {
    limits.admit(exchange.caller, told);
  } finally {
    if (told['ratelimit'] !== undefined) exchange.edgeHeaders = { ...exchange.edgeHeaders, ...told };
  }
}

/** Whether the client's own connection is encrypted: here, or up to a proxy that is believed. */
function isSecure(request: IncomingMessage, proxies: TrustedProxies): boolean {
  if ((request.socket as { encrypted?: boolean }).encrypted === true) return true;
  return request.headers['x-forwarded-proto'] === 'https' && proxies.trusts(normaliseAddress(request.socket.remoteAddress ?? ''));
}
