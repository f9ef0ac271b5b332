/** Whether a reply tells one tenant of another. */
import { jsonOf, type Reply } from './node.ts';
import type { Holdings } from './tenants.ts';

/** Members that differ from answer to answer by nature. */
const VOLATILE = new Set(['correlation_id', 'request_id', 'latency_ms', 'used', 'remaining']);
const VOLATILE_HEADERS = new Set(['date', 'x-correlation-id', 'x-request-id', 'traceparent', 'content-length', 'ratelimit', 'ratelimit-policy', 'retry-after', 'connection', 'keep-alive']);

/** What of the other tenant stands in the reply though the request did not name it; null for nothing. */
export function seenOf(reply: Reply, mark: string, holdings: Holdings, said: string): string | null {
  const heard = [reply.text, ...Object.values(reply.headers)].join('\n');
  // What the asker wrote may come back; beyond that the mark may not.
  const spoken = Object.values(holdings).filter((id) => said.includes(id)).sort((a, b) => b.length - a.length);
  const rest = spoken.reduce((text, id) => text.replaceAll(id, ''), heard);
  if (rest.includes(mark)) return 'a text of the other tenant';
  const shown = Object.entries(holdings).find(([, id]) => !said.includes(id) && rest.includes(id));
  return shown === undefined ? null : `the other tenant's ${shown[0]}`;
}

/** How the two replies differ beyond the identifiers that were asked for; null when they do not. */
export function differenceOf(foreign: Reply, absent: Reply, holdings: Holdings, twins: Holdings): string | null {
  if (foreign.status !== absent.status) return `status ${foreign.status} for what the other tenant has, ${absent.status} for what nobody has`;
  // What succeeds was done to things of the asker's own; that nothing else shows there, `seenOf` has looked for.
  if (foreign.status < 400) return null;
  if (plain(foreign, holdings) !== plain(absent, twins)) return 'an error that differs from the one for what nobody has';
  const names = (reply: Reply): string => Object.keys(reply.headers).filter((name) => !VOLATILE_HEADERS.has(name)).sort().join();
  return names(foreign) === names(absent) ? null : 'headers that differ from those for what nobody has';
}

function plain(reply: Reply, ids: Holdings): string {
  const body = jsonOf(reply);
  const text = body === null ? reply.text : JSON.stringify(body, (name, value: unknown) => (VOLATILE.has(name) ? '' : value));
  return Object.entries(ids).sort(([, a], [, b]) => b.length - a.length).reduce((rest, [name, id]) => rest.replaceAll(id, `<${name}>`).replaceAll(encodeURIComponent(id), `<${name}>`), text);
}

/** Members that a thing's own life changes while nobody touches it. */
const RESTLESS = new Set(['correlation_id', 'last_used_at', 'last_delivery_at', 'consecutive_failures', 'status', 'latency_ms', 'checked_at', 'policy_outcome', 'failures', 'state']);

/** A thing as its owner reads it, for comparing before and after. */
export function likenessOf(reply: Reply): string {
  const body = jsonOf(reply);
  return body === null ? String(reply.status) : `${reply.status} ${JSON.stringify(body, (name, value: unknown) => (RESTLESS.has(name) ? '' : value))}`;
}
