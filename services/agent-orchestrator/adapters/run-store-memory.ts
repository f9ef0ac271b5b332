/**
 * The store that the memory family shares: runs, events, counters and keys of one process, gone with it.
 *
 * Every method is one synchronous step, which is what a transaction is here. The rules are those of the Postgres
 * family: the same admission, the same places in the queue, the same fence, one terminal event a run.
 */
import { MemoryAudit } from '../../platform/audit/audit-memory.ts';
import { auditRow } from '../../platform/audit/audit-row.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ClaimOptions, ClaimedRun } from '../ports/queue.ts';
import type { RunEvent } from '../ports/events.ts';
import type { AdvanceResult, CreateRunResult, EventDraft, NewRun, RetentionQuery, RunFailure, RunLease, RunRecord, RunTransition, RunWork } from '../ports/run-state.ts';
import { traceparentAt } from '../runtime/ids.ts';
import { admit, type TenantRunsState } from '../tenancy/admission.ts';
import { QueuePlaces, type GivenRanks, type WaitingRanks } from '../tenancy/fairness.ts';
import { handedOverRun, newRecord } from '../ports/new-run.ts';
import { runCanceled, runCreated, toolsDenied } from './run-deeds.ts';
import { PRIORITY_LEVEL } from './run-rows.ts';
import { WakeHub } from './wake-hub.ts';

interface StoredRun {
  work: RunWork;
  readonly rank: number;
  readonly level: 0 | 1 | 2;
  readonly events: RunEvent[];
  /** `parked`: nobody holds it; the time is when it may be claimed again at the latest. */
  lease: { readonly token: string; untilMs: number; readonly parked?: true } | null;
  availableAtMs: number;
  /** Since the run last got a step further. */
  fruitlessClaims: number;
}

interface StoredKey {
  readonly runId: string;
  readonly requestHash: string;
  readonly expiresAtMs: number;
}

const isEnded = (run: Pick<RunRecord, 'status'>): boolean => run.status !== 'queued' && run.status !== 'running';

const notFound = (runId: string): AgentOsError => new AgentOsError('not_found', { message: `There is no run ${runId}.`, details: { run_id: runId } });

export class MemoryRunStore {
  readonly wake = new WakeHub();
  readonly #now: () => number;
  readonly #audit: MemoryAudit;
  /** By tenant, then by run: nothing is ever looked up without a tenant. */
  readonly #runs = new Map<string, Map<string, StoredRun>>();
  readonly #tenants = new Map<string, TenantRunsState>();
  readonly #given = new Map<string, GivenRanks>();
  readonly #keys = new Map<string, StoredKey>();
  readonly #observers: ((event: RunEvent) => void)[] = [];

  constructor(now: () => number = Date.now, audit = new MemoryAudit()) {
    this.#now = now;
    this.#audit = audit;
  }

  /** Is told every event in the step that stores it: what follows from an event is stored with it or not at all. */
  observe(observer: (event: RunEvent) => void): void {
    this.#observers.push(observer);
  }

  create(auth: AuthContext, run: NewRun): CreateRunResult {
    const nowMs = this.#now();
    const key = run.idempotency === null ? null : JSON.stringify([auth.tenant_id, auth.principal.principal_id, run.agent.agentId, run.idempotency.key]);
    const known = key === null ? undefined : this.#liveKey(auth.tenant_id, key, nowMs);
    if (known !== undefined) {
      if (known.requestHash !== run.idempotency!.requestHash) return { outcome: 'key_reused', runId: known.runId };
      return { outcome: 'replayed', run: this.record(auth.tenant_id, known.runId) };
    }
    const admission = admit(this.#tenants.get(auth.tenant_id) ?? { active: 0, arrivalMs: 0 }, run.limits, nowMs);
    if (admission.outcome !== 'admitted') return admission;
    const { maxQueuedRuns } = run.limits;
    if (maxQueuedRuns !== undefined && this.#waiting().length >= maxQueuedRuns) return { outcome: 'queue_full', limit: maxQueuedRuns };
    const record = newRecord(auth, run, new Date(nowMs).toISOString());
    const waits = this.#waiting().length > 0;
    const level = PRIORITY_LEVEL[run.options.priority];
    const stored: StoredRun = {
      work: structuredClone({ ...record, lastSequence: 0, auth, input: run.input, context: run.context, agent: run.agent }),
      rank: this.#rank(auth.tenant_id, level),
      level,
      events: [],
      lease: null,
      availableAtMs: nowMs,
      fruitlessClaims: 0,
    };
    this.#tenants.set(auth.tenant_id, admission.state);
    const runs = this.#runs.get(auth.tenant_id) ?? new Map<string, StoredRun>();
    this.#runs.set(auth.tenant_id, runs.set(run.runId, stored));
    if (key !== null) this.#keys.set(key, { runId: run.runId, requestHash: run.idempotency!.requestHash, expiresAtMs: nowMs + run.idempotency!.ttlHours * 3_600_000 });
    this.#append(stored, [run.created]);
    this.#audit.add(auditRow('agent-orchestrator', auth, runCreated(run)));
    const created = this.record(auth.tenant_id, run.runId);
    return { outcome: 'created', run: created, handedOver: waits ? null : this.#handOver(auth, run, stored, created) };
  }

  #handOver(auth: AuthContext, run: NewRun, stored: StoredRun, created: RunRecord): { readonly lease: RunLease; readonly run: RunWork } | null {
    const handover = run.handover ?? null;
    if (handover === null) return null;
    const handedOver = handedOverRun(auth, run, created, newId('lse'));
    stored.lease = { token: handedOver.lease.token, untilMs: this.#now() + handover.leaseMs };
    stored.fruitlessClaims = 1;
    this.#append(stored, [handover.started, ...handover.opening]);
    stored.work = structuredClone(handedOver.run);
    return handedOver;
  }

  /** @throws AgentOsError not_found. */
  record(tenantId: string, runId: string): RunRecord {
    return recordOf(this.#find(tenantId, runId).work);
  }

  records(tenantId: string): RunRecord[] {
    return [...(this.#runs.get(tenantId)?.values() ?? [])].map((stored) => recordOf(stored.work));
  }

  /** @throws AgentOsError not_found. */
  work(tenantId: string, runId: string): RunWork {
    return structuredClone(this.#find(tenantId, runId).work);
  }

  events(tenantId: string, runId: string): { readonly run: RunRecord; readonly events: readonly RunEvent[] } {
    const stored = this.#find(tenantId, runId);
    return { run: recordOf(stored.work), events: stored.events };
  }

  cancel(auth: AuthContext, runId: string, canceled: EventDraft): RunRecord {
    const stored = this.#find(auth.tenant_id, runId);
    if (isEnded(stored.work)) {
      throw new AgentOsError('invalid_state_transition', {
        message: `Run ${runId} has ended as ${stored.work.status}; only a queued or running run can be canceled.`,
        details: { run_id: runId, status: stored.work.status },
      });
    }
    this.#append(stored, [canceled]);
    this.#end(stored, { status: 'canceled' });
    const { agentId, agentVersion, correlationId } = stored.work;
    this.#audit.add(auditRow('agent-orchestrator', auth, runCanceled({ run_id: runId, agent_id: agentId, agent_version: agentVersion, correlation_id: correlationId })));
    return recordOf(stored.work);
  }

  advance(auth: AuthContext, lease: RunLease, transition: RunTransition): AdvanceResult {
    const stored = this.#runs.get(lease.tenantId)?.get(lease.runId);
    if (stored === undefined) return { outcome: 'fenced', status: 'canceled' };
    const { work } = stored;
    if (work.status !== 'running' || stored.lease?.token !== lease.token || work.step !== transition.expectedStep) {
      const last = transition.events.at(-1);
      const written = last !== undefined && stored.events.some((event) => event.eventId === last.eventId);
      if (written && work.step > transition.expectedStep) return { outcome: 'already_applied', lastSequence: work.lastSequence };
      return { outcome: 'fenced', status: work.status };
    }
    const { summaryDelta, end } = transition;
    this.#append(stored, transition.events);
    this.#audit.add(...toolsDenied(lease.runId, transition.events).map((facts) => auditRow('agent-orchestrator', auth, facts)));
    stored.fruitlessClaims = 0;
    stored.work = {
      ...stored.work,
      step: work.step + 1,
      summary: {
        stepsTotal: work.summary.stepsTotal + summaryDelta.stepsTotal,
        toolCallsTotal: work.summary.toolCallsTotal + summaryDelta.toolCallsTotal,
        modelCallsTotal: work.summary.modelCallsTotal + summaryDelta.modelCallsTotal,
      },
    };
    if (end !== null) this.#end(stored, structuredClone(end));
    return { outcome: 'applied', lastSequence: stored.work.lastSequence };
  }

  claim(options: ClaimOptions): ClaimedRun[] {
    const nowMs = this.#now();
    const claimed: ClaimedRun[] = [];
    for (const stored of this.#claimable(nowMs).slice(0, options.limit)) {
      const { tenantId, runId, attempts } = stored.work;
      if (stored.fruitlessClaims >= options.maxAttempts) {
        const draft = options.poisoned({ tenantId, runId, attempts: stored.fruitlessClaims });
        this.#append(stored, [draft]);
        this.#end(stored, { status: 'failed', error: draft.payload['error'] as RunFailure });
        continue;
      }
      const token = newId('lse');
      stored.lease = { token, untilMs: nowMs + options.leaseMs };
      stored.fruitlessClaims += 1;
      stored.work = { ...stored.work, status: 'running', attempts: attempts + 1, startedAt: stored.work.startedAt ?? new Date(nowMs).toISOString() };
      if (attempts === 0) this.#append(stored, [options.started({ tenantId, runId })]);
      claimed.push({ lease: { tenantId, runId, token }, run: structuredClone(stored.work) });
    }
    return claimed;
  }

  /** True when the lease is held and now lasts until then. */
  extend(lease: RunLease, leaseMs: number): boolean {
    const stored = this.#held(lease);
    if (stored === null) return false;
    stored.lease!.untilMs = this.#now() + leaseMs;
    return true;
  }

  /** True when the lease was held and has been given back. */
  release(lease: RunLease, delayMs: number): boolean {
    const stored = this.#held(lease);
    if (stored === null) return false;
    stored.lease = null;
    stored.availableAtMs = this.#now() + delayMs;
    const { attempts } = stored.work;
    stored.work = { ...stored.work, status: 'queued', attempts: delayMs === 0 ? Math.max(1, attempts - 1) : attempts };
    if (delayMs === 0) stored.fruitlessClaims = Math.max(0, stored.fruitlessClaims - 1);
    return true;
  }

  /** True when the lease was held and the run now waits. */
  park(lease: RunLease, maxWaitMs: number): boolean {
    const stored = this.#held(lease);
    if (stored === null) return false;
    stored.lease = { token: newId('lse'), untilMs: this.#now() + maxWaitMs, parked: true };
    stored.fruitlessClaims = 0;
    return true;
  }

  /** True when the run was parked and can be claimed now. */
  unpark(tenantId: string, runId: string): boolean {
    const stored = this.#runs.get(tenantId)?.get(runId);
    if (stored?.lease?.parked !== true) return false;
    stored.lease.untilMs = this.#now() - 1;
    return true;
  }

  deleteExpired(query: RetentionQuery): { runs: number; keys: number } {
    const keys = this.#deleteKeys(query.limit);
    if (query.endedBefore === null) return { runs: 0, keys };
    const expired = [...this.#runs.values()]
      .flatMap((runs) => [...runs.values()])
      .filter(({ work }) => isEnded(work) && work.completedAt! < query.endedBefore!)
      .slice(0, query.limit);
    for (const { work } of expired) this.#runs.get(work.tenantId)!.delete(work.runId);
    return { runs: expired.length, keys };
  }

  /** Everything of a tenant that was deleted; a worker that is still at one of its runs is fenced. Answers how many runs. */
  forgetTenant(tenantId: string): number {
    const runs = this.#runs.get(tenantId)?.size ?? 0;
    for (const of of [this.#runs, this.#tenants, this.#given]) of.delete(tenantId);
    for (const key of this.#keys.keys()) if ((JSON.parse(key) as [string])[0] === tenantId) this.#keys.delete(key);
    return runs;
  }

  #deleteKeys(limit: number): number {
    const nowMs = this.#now();
    let deleted = 0;
    for (const [key, { runId, expiresAtMs }] of this.#keys) {
      if (deleted >= limit) break;
      const [tenantId] = JSON.parse(key) as [string];
      const run = this.#runs.get(tenantId)?.get(runId)?.work;
      if (expiresAtMs > nowMs || (run !== undefined && !isEnded(run))) continue;
      this.#keys.delete(key);
      deleted += 1;
    }
    return deleted;
  }

  depth(): { queued: number; running: number; drift: number } {
    let queued = 0;
    let running = 0;
    let drift = 0;
    for (const tenantId of new Set([...this.#runs.keys(), ...this.#tenants.keys()])) {
      const load = this.loadOf(tenantId);
      queued += load.queued;
      running += load.running;
      drift += Math.abs((this.#tenants.get(tenantId)?.active ?? 0) - load.queued - load.running);
    }
    return { queued, running, drift };
  }

  loadOf(tenantId: string): { queued: number; running: number } {
    const runs = [...(this.#runs.get(tenantId)?.values() ?? [])];
    const counted = (status: string): number => runs.filter((stored) => stored.work.status === status).length;
    return { queued: counted('queued'), running: counted('running') };
  }

  #find(tenantId: string, runId: string): StoredRun {
    const stored = this.#runs.get(tenantId)?.get(runId);
    if (stored === undefined) throw notFound(runId);
    return stored;
  }

  #held(lease: RunLease): StoredRun | null {
    const stored = this.#runs.get(lease.tenantId)?.get(lease.runId);
    return stored !== undefined && stored.work.status === 'running' && stored.lease?.token === lease.token ? stored : null;
  }

  #liveKey(tenantId: string, key: string, nowMs: number): StoredKey | undefined {
    const known = this.#keys.get(key);
    if (known === undefined) return undefined;
    // A run that was deleted takes its key with it, as the store that joins the two does.
    const run = this.#runs.get(tenantId)?.get(known.runId)?.work;
    return run !== undefined && (known.expiresAtMs > nowMs || !isEnded(run)) ? known : undefined;
  }

  #waiting(): StoredRun[] {
    return [...this.#runs.values()].flatMap((runs) => [...runs.values()]).filter((stored) => stored.work.status === 'queued');
  }

  #rank(tenantId: string, level: 0 | 1 | 2): number {
    const places = this.#places();
    const rank = places.next(tenantId, level);
    this.#given.set(tenantId, places.given(tenantId));
    return rank;
  }

  #places(): QueuePlaces {
    const newest = new Map<string, WaitingRanks>();
    let smallest: number | null = null;
    for (const { work, rank, level } of this.#waiting()) {
      smallest = smallest === null ? rank : Math.min(smallest, rank);
      const ranks: [number | null, number | null, number | null] = [...(newest.get(work.tenantId) ?? ([null, null, null] as const))];
      ranks[level] = Math.max(ranks[level] ?? rank, rank);
      newest.set(work.tenantId, ranks);
    }
    return new QueuePlaces(smallest, newest, this.#given);
  }

  #claimable(nowMs: number): StoredRun[] {
    const expired = [...this.#runs.values()]
      .flatMap((runs) => [...runs.values()])
      .filter((stored) => stored.work.status === 'running' && stored.lease !== null && stored.lease.untilMs < nowMs)
      .sort((a, b) => a.lease!.untilMs - b.lease!.untilMs);
    return [...expired, ...this.#waiting().filter((stored) => stored.availableAtMs <= nowMs).sort((a, b) => a.rank - b.rank)];
  }

  #append(stored: StoredRun, drafts: readonly EventDraft[]): void {
    const { tenantId, runId, agentId, traceparent } = stored.work;
    const time = new Date(this.#now()).toISOString();
    let lastSequence = stored.work.lastSequence;
    for (const draft of drafts) {
      lastSequence += 1;
      stored.events.push({
        eventId: draft.eventId,
        sequence: lastSequence,
        time,
        type: draft.type,
        tenantId,
        agentId,
        runId,
        stepId: draft.stepId,
        trace: { traceparent: traceparentAt(traceparent, draft.spanId), span_id: draft.spanId },
        payload: structuredClone(draft.payload),
      });
    }
    stored.work = { ...stored.work, lastSequence };
    for (const observer of this.#observers) stored.events.slice(stored.events.length - drafts.length).forEach(observer);
  }

  #end(stored: StoredRun, end: Pick<RunRecord, 'status'> & Partial<Pick<RunRecord, 'output' | 'error'>>): void {
    const { tenantId } = stored.work;
    stored.lease = null;
    stored.work = { ...stored.work, ...end, completedAt: new Date(this.#now()).toISOString() };
    const state = this.#tenants.get(tenantId)!;
    this.#tenants.set(tenantId, { ...state, active: state.active - 1 });
  }
}

function recordOf(work: RunWork): RunRecord {
  const { auth: _auth, input: _input, context: _context, agent: _agent, ...record } = work;
  return structuredClone(record);
}
