/**
 * The replicator copies the events of every run that was forwarded from this node, while they happen (PRS 7.3, 7.4).
 *
 * What is to be copied stands in a list that outlives the process, and each run on it is under a lease, so that the
 * processes of a node share the work and one that dies loses nothing: whoever takes the run goes on where the copy ends.
 * A process follows a bounded number of runs; where more are waiting, one in which nothing happens makes room.
 */
import type { Logger } from 'pino';
import { newId } from '../../platform/ids.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { continueTrace, formatTraceparent } from '../../platform/telemetry/trace-context.ts';
import type { Tracing } from '../../platform/telemetry/tracing.ts';
import type { Nodes } from '../forwarding/nodes.ts';
import type { ReplicaPort } from '../ports/replica.ts';
import { followKey, type FollowedRun, type FollowList } from './follow-list.ts';
import { followRun, type FollowOutcome } from './follow-run.ts';
import type { ReplicationMetrics } from './replication-metrics.ts';
import { nodeOfRun } from './run-sources.ts';
import { sleepUntil } from './waiting.ts';

export interface ReplicatorOptions {
  /** Runs at once. */
  readonly runs: number;
  /** Runs that began longer ago are not copied any more; 0: any. */
  readonly runDays: number;
  readonly pollMs: number;
  readonly leaseMs: number;
  readonly baseBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly quietMs: number;
  readonly gatherMs: number;
  /** Between two looks at all forwards, for what the short looks have missed. */
  readonly sweepMs: number;
  readonly random: () => number;
}

const DEFAULT_REPLICATOR: ReplicatorOptions = {
  runs: 64, runDays: 30, pollMs: 1_000, leaseMs: 30_000, baseBackoffMs: 500, maxBackoffMs: 60_000, quietMs: 5_000, gatherMs: 100, sweepMs: 300_000, random: Math.random,
};

export interface ReplicatorParts {
  readonly list: FollowList;
  readonly nodes: Pick<Nodes, 'own' | 'target'>;
  readonly replica: ReplicaPort;
  readonly metrics: ReplicationMetrics;
  readonly tracing?: Tracing | null;
  readonly log: Logger;
}

const DAY_MS = 86_400_000;
/** A forward is answered for within this time; those that were not are found by the sweep. */
const RECENT_MS = 120_000;
const ENTERED_AT_ONCE = 1_000;

export class Replicator {
  readonly #parts: ReplicatorParts;
  readonly #options: ReplicatorOptions;
  readonly #stopping = new AbortController();
  readonly #following = new Map<string, { readonly run: FollowedRun; readonly abort: AbortController; readonly done: Promise<void> }>();
  #loops: Promise<unknown> = Promise.resolve();
  #sweptAtMs = -Infinity;
  #open = 0;

  constructor(parts: ReplicatorParts, options: Partial<ReplicatorOptions> = {}) {
    this.#parts = parts;
    this.#options = { ...DEFAULT_REPLICATOR, ...options };
  }

  start(): void {
    const { pollMs, leaseMs } = this.#options;
    this.#loops = Promise.all([this.#every(pollMs, () => this.#takeMore()), this.#every(leaseMs / 3, () => this.#renew())]);
  }

  /** Gives every run back, so that another process can go on at once. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const { abort } of this.#following.values()) abort.abort();
    await this.#loops;
    await Promise.all([...this.#following.values()].map(({ done }) => done));
  }

  async #every(ms: number, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await work().catch((error: unknown) => this.#parts.log.warn({ err: error }, 'The list of replicated runs cannot be reached; trying again.'));
      // Spread, so that the processes of a node do not all look at once.
      await sleepUntil(ms * (0.75 + this.#options.random() / 2), signal);
    }
  }

  async #takeMore(): Promise<void> {
    const { list, nodes, metrics } = this.#parts;
    const { runs, leaseMs, sweepMs, runDays } = this.#options;
    const sweeps = performance.now() - this.#sweptAtMs >= sweepMs;
    const backMs = sweeps ? (runDays === 0 ? Date.now() : runDays * DAY_MS) : RECENT_MS;
    const entered = await list.enter({ ownStackId: nodes.own.stack_id, since: new Date(Date.now() - backMs), limit: ENTERED_AT_ONCE });
    if (sweeps && entered < ENTERED_AT_ONCE) this.#sweptAtMs = performance.now();
    this.#open = await list.open();
    metrics.open.set(this.#open);
    const free = runs - this.#following.size;
    if (free <= 0 || this.#stopping.signal.aborted) return;
    for (const run of await list.take({ limit: free, leaseMs })) this.#follow(run);
  }

  async #renew(): Promise<void> {
    const held = await this.#parts.list.renew([...this.#following.values()].map(({ run }) => run), this.#options.leaseMs);
    for (const [key, { abort }] of this.#following) if (!held.has(key)) abort.abort();
  }

  #follow(run: FollowedRun): void {
    const key = followKey(run);
    const abort = new AbortController();
    if (this.#stopping.signal.aborted) abort.abort();
    const done = this.#copy(run, abort.signal)
      .then((outcome) => this.#settle(run, outcome))
      .catch((error: unknown) => this.#parts.log.warn({ err: error, tenant_id: run.tenantId, run_id: run.runId }, 'What became of a replication could not be noted; its lease runs out.'))
      .finally(() => this.#following.delete(key));
    this.#following.set(key, { run, abort, done });
  }

  /** Nobody asked for it, so it is a trace of its own. */
  async #copy(run: FollowedRun, signal: AbortSignal): Promise<FollowOutcome> {
    const { nodes, replica, metrics, tracing } = this.#parts;
    const { quietMs, gatherMs, runs } = this.#options;
    const auth = replicatorOf(run.tenantId);
    const trace = continueTrace(undefined);
    const correlationId = newId('corr');
    const startedMs = performance.now();
    const node = nodeOfRun(nodes, run.targetStackId, auth, run.runId, { correlationId, traceparent: formatTraceparent(trace) });
    const outcome = await followRun({
      auth, runId: run.runId, stackId: run.targetStackId, node, replica, signal, quietMs, gatherMs,
      shouldYield: () => this.#following.size >= runs && this.#open > this.#following.size,
      onStored: (events, verdicts) => metrics.followed(events, verdicts),
    });
    tracing?.record({
      name: 'replicateRun', kind: 'internal', ...trace, durationMs: performance.now() - startedMs, failed: outcome.outcome === 'lost' && outcome.failed,
      attributes: { 'agentos.run_id': run.runId, 'agentos.tenant_id': run.tenantId, 'agentos.peer': run.targetStackId, 'agentos.correlation_id': correlationId },
    });
    return outcome;
  }

  async #settle(run: FollowedRun, result: FollowOutcome): Promise<void> {
    const { list, log } = this.#parts;
    const about = { tenant_id: run.tenantId, run_id: run.runId, peer: run.targetStackId };
    if (result.outcome === 'yielded') return list.giveBack(run, { afterMs: 0, failed: false });
    if (result.outcome !== 'lost') {
      if (result.outcome === 'gone') log.warn(about, 'The node of a run does not know it any more; its copy stays as it is.');
      return list.finish(run);
    }
    const { failed, error } = result;
    if (error !== null) log[failed ? 'warn' : 'debug']({ ...about, err: error, failures: run.failures }, 'The events of a run cannot be copied for now; trying again.');
    return list.giveBack(run, { afterMs: failed ? this.#backoffMs(run.failures) : 0, failed });
  }

  #backoffMs(failures: number): number {
    const { baseBackoffMs, maxBackoffMs, random } = this.#options;
    return Math.min(maxBackoffMs, baseBackoffMs * 2 ** failures) * (0.5 + random() / 2);
  }
}

/** The node itself, for one tenant, with the right to read runs and no other. */
function replicatorOf(tenantId: string): AuthContext {
  return { tenant_id: tenantId, principal: { principal_id: 'svc_federation', principal_type: 'service' }, scopes: ['runs:read'], roles: ['tenant_service'] };
}
