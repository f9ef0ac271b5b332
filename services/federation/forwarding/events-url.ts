/** The address of a run's events, as another node tells it: it may lead to that node alone. Pure. */
import type { Peer } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';

/** @throws AgentOsError dependency_unavailable: callers must not be sent to a host that nobody has registered. */
export function requireEventsUrlOf(peer: Peer, url: string): void {
  const hosts = Object.values(peer.endpoints).flatMap((endpoint) => (typeof endpoint === 'string' && URL.canParse(endpoint) ? [new URL(endpoint).host] : []));
  const told = URL.canParse(url) ? new URL(url) : null;
  if (told !== null && /^https?:$/.test(told.protocol) && told.username === '' && told.password === '' && hosts.includes(told.host)) return;
  throw new AgentOsError('dependency_unavailable', {
    message: `${peer.stack_id} told an events URL on ${told === null ? 'no host' : told.host}, which is none of its endpoints in the peers file (${hosts.join(', ')}). Correct the peers file, or endpoints in the file of ${peer.stack_id}; the same request under the same idempotency key then finds the run.`,
    retryable: false,
    details: { reason: 'events_url_not_of_peer', peer: peer.stack_id },
  });
}
