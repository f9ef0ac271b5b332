/** Copying one run's events from its node, from where the copy ends until the run does, or until there is a reason to stop. */
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ReplicaPort, StoreVerdict } from '../ports/replica.ts';
import { isTerminal, type WireEvent } from './event-digest.ts';
import { NodeConnection, type NodeOfRun } from './node-connection.ts';

/**
 * `ended`: the copy is whole · `gone`: the node does not know the run any more · `yielded`: nothing happens and others
 * wait, or the process stops · `lost`: the connection ended; `failed` where it brought nothing.
 */
export type FollowOutcome = { readonly outcome: 'ended' } | { readonly outcome: 'gone' } | { readonly outcome: 'yielded' } | { readonly outcome: 'lost'; readonly failed: boolean; readonly error: unknown };

export interface FollowOptions {
  readonly auth: AuthContext;
  readonly runId: string;
  readonly stackId: string;
  readonly node: NodeOfRun;
  readonly replica: ReplicaPort;
  readonly signal: AbortSignal;
  /** Asked when nothing has happened for `quietMs`. */
  readonly shouldYield: () => boolean;
  readonly quietMs: number;
  /** Events that come within it are stored together. */
  readonly gatherMs: number;
  readonly onStored: (events: readonly WireEvent[], verdicts: readonly StoreVerdict[]) => void;
}

const MOST_TOGETHER = 200;

export async function followRun(options: FollowOptions): Promise<FollowOutcome> {
  const { auth, runId, node, replica, signal } = options;
  let connection: NodeConnection | null = null;
  let brought = 0;
  try {
    const extent = await replica.extent(auth, runId);
    const from = extent?.contiguousTo ?? 0;
    if (extent?.ended === true && (await replica.read(auth, runId, { sequence: from, limit: 1 })).length === 0) return { outcome: 'ended' };
    connection = await NodeConnection.open(node, { tenantId: auth.tenant_id, runId }, from, signal);
    for (;;) {
      const { events, then } = await gather(connection, options);
      if (events.length > 0) {
        const verdicts = await replica.store(auth, options.stackId, events);
        brought += events.length;
        options.onStored(events, verdicts);
      }
      if (then === 'ended') return { outcome: 'ended' };
      if (signal.aborted) return { outcome: 'yielded' };
      if (then === 'closed') return { outcome: 'lost', failed: brought === 0, error: null };
      if (events.length === 0 && options.shouldYield()) return { outcome: 'yielded' };
    }
  } catch (error) {
    if (signal.aborted) return { outcome: 'yielded' };
    if (error instanceof AgentOsError && error.code === 'not_found') return { outcome: 'gone' };
    return { outcome: 'lost', failed: brought === 0, error };
  } finally {
    connection?.close();
  }
}

/** Waits for one event, then for those that come right behind it. */
async function gather(connection: NodeConnection, { quietMs, gatherMs }: FollowOptions): Promise<{ readonly events: WireEvent[]; readonly then: 'more' | 'closed' | 'ended' }> {
  const events: WireEvent[] = [];
  let leftMs = quietMs;
  let untilMs = 0;
  while (events.length < MOST_TOGETHER && leftMs > 0) {
    const arrival = await connection.next(leftMs).catch((error: unknown) => {
      // What came before it broke is stored first; asked again, the connection fails again or has ended.
      if (events.length === 0) throw error;
      return 'quiet' as const;
    });
    if (arrival === 'closed') return { events, then: 'closed' };
    if (arrival === 'quiet') break;
    events.push(arrival.event);
    if (isTerminal(arrival.event)) return { events, then: 'ended' };
    if (events.length === 1) untilMs = performance.now() + gatherMs;
    leftMs = untilMs - performance.now();
  }
  return { events, then: 'more' };
}
