/**
 * What the node of a run says of events that somebody else hands over. A caller of this node is believed about nothing
 * that happened on another one: what it hands over says where to look, and what is kept is what the node says itself.
 */
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { Nodes } from '../forwarding/nodes.ts';
import type { WireEvent } from './event-digest.ts';
import type { IngestCall } from './ingest.ts';
import { placeOf } from './judge-events.ts';
import { NodeConnection } from './node-connection.ts';
import { nodeOfRun } from './run-sources.ts';

export interface Place {
  readonly runId: string;
  readonly sequence: number;
}

/** The events that the node has at these places, by `placeOf`. @throws AgentOsError when the node cannot be asked. */
export type ConfirmEvents = (auth: AuthContext, sourceStackId: string, places: readonly Place[], call: IngestCall) => Promise<ReadonlyMap<string, WireEvent>>;

export interface ConfirmLimits {
  /** A run that has not ended has no end to read up to: when nothing comes for so long, nothing more is there. */
  readonly quietMs: number;
  /** Of one batch, whatever the node sends. */
  readonly patienceMs: number;
  /** Of one run. */
  readonly mostEvents: number;
}

const DEFAULTS: ConfirmLimits = { quietMs: 3_000, patienceMs: 10_000, mostEvents: 5_000 };
/** Each is a connection of its own. */
const AT_ONCE = 4;

export function createConfirmEvents(nodes: Pick<Nodes, 'target'>, limits: Partial<ConfirmLimits> = {}): ConfirmEvents {
  const { quietMs, patienceMs, mostEvents } = { ...DEFAULTS, ...limits };

  const read = async (auth: AuthContext, source: string, runId: string, wanted: ReadonlySet<number>, call: IngestCall, found: Map<string, WireEvent>): Promise<void> => {
    const first = Math.max(1, Math.min(...wanted));
    const last = Math.max(...wanted);
    // Asked for this alone, so it needs the right to read and no other.
    const node = nodeOfRun(nodes, source, { ...auth, scopes: ['runs:read'] }, runId, call);
    const connection = await NodeConnection.open(node, { tenantId: auth.tenant_id, runId }, first - 1, call.signal);
    try {
      for (let seen = 0; seen < mostEvents; seen += 1) {
        const arrival = await connection.next(quietMs);
        if (typeof arrival === 'string') return;
        const { event } = arrival;
        if (wanted.has(event.sequence)) found.set(placeOf(runId, event.sequence), event);
        if (event.sequence >= last) return;
      }
    } finally {
      connection.close();
    }
  };

  return async (auth, source, places, call) => {
    const found = new Map<string, WireEvent>();
    const runs = new Map<string, Set<number>>();
    for (const { runId, sequence } of places) runs.set(runId, (runs.get(runId) ?? new Set()).add(sequence));
    const waiting = [...runs];
    const bounded = { ...call, signal: AbortSignal.any([call.signal, AbortSignal.timeout(patienceMs)]) };
    const worker = async (): Promise<void> => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await read(auth, source, next[0], next[1], bounded, found);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    // What was not heard in time is not what the node denies.
    if (bounded.signal.aborted) throw new AgentOsError('dependency_unavailable', { message: `${source} did not tell within ${patienceMs} ms what happened in these runs. Send the batch again, or in parts.`, details: { peer: source, reason: 'not_confirmed_in_time' } });
    return found;
  };
}
