/**
 * One flush: creations, transitions and cancellations of many runs in one transaction, each with its own verdict.
 *
 * A flush with creations makes two round trips: BEGIN, lock, clock, keys and transitions go out together; what was
 * admitted follows with its audit records and COMMIT. Without creations and cancellations it makes one. A creation is decided in JavaScript (tenancy/) under
 * the locks of this transaction, so the decision is exact over any number of processes.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { AuditRow } from '../../platform/audit/audit-row.ts';
import type { AppendedRow } from '../../platform/audit/audit-sql.ts';
import type { AuditTrail } from '../../platform/audit/audit-trail.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { FlushRolledBackError } from '../../platform/db/group-commit.ts';
import { fromDatabaseError, isConnectionError, isRetryableTransaction } from '../../platform/db/sqlstate.ts';
import type { NamedStatement, Parameter, StatementSender } from '../../platform/db/statement-batch.ts';
import { withTenantTogether } from '../../platform/db/transaction.ts';
import type { AdvanceResult } from '../ports/run-state.ts';
import { admit, type TenantRunsState } from '../tenancy/admission.ts';
import { AdmissionNotes, type SeenTenant } from '../tenancy/admission-notes.ts';
import type { Backlog } from '../tenancy/backlog.ts';
import type { Refusal } from '../tenancy/refusals.ts';
import { QueuePlaces, type GivenRanks, type WaitingRanks } from '../tenancy/fairness.ts';
import { handedOverRun, newRecord } from '../ports/new-run.ts';
import { runCanceled, runCreated, toolsDenied } from './run-deeds.ts';
import { PRIORITY_LEVEL, isoTime, recordOf, storableJson, storableText, type RunRow } from './run-rows.ts';
import { ADD_FACETS, facetRows, type FacetRow } from './run-facets.ts';
import { createRow, firstEvents, type AdvanceWrite, type AppliedRow, type BackRow, type CancelWrite, type CreateWrite, type KeyRow, type LockRow, type QueueRow, type RunVerdict, type RunWrite } from './run-write-rows.ts';
import { ADD_TENANTS, ADVANCE_RUNS, CANCEL_RUNS, CREATE_RUNS, LOCK_QUEUE, LOCK_TENANTS, READ_BACK, READ_KEYS, READ_QUEUE } from './run-writes-sql.ts';

export type { RunVerdict, RunWrite } from './run-write-rows.ts';

/** Writes with equal keys keep their order and never share a flush. */
export function writeKey(write: RunWrite): string {
  if (write.kind === 'advance') return `run ${write.lease.tenantId} ${write.lease.runId}`;
  if (write.kind === 'cancel') return `run ${write.auth.tenant_id} ${write.runId}`;
  const { auth, run } = write;
  return run.idempotency === null
    ? `run ${auth.tenant_id} ${run.runId}`
    : `key ${JSON.stringify([auth.tenant_id, auth.principal.principal_id, run.agent.agentId, run.idempotency.key])}`;
}

export const tenantOf = (write: RunWrite): string => (write.kind === 'advance' ? write.lease.tenantId : write.auth.tenant_id);

const CONTENTION_ATTEMPTS = 4;

/** While writes waited for the flush before theirs, that flush may have learned what becomes of them. */
export async function flushWrites(pool: pg.Pool, trail: AuditTrail, writes: readonly RunWrite[], notes: AdmissionNotes = new AdmissionNotes()): Promise<ReadonlyArray<RunVerdict | Error>> {
  const nowMs = performance.now();
  const known = writes.map((write) => (write.kind === 'create' && !mayReplay(write) ? notes.refusal(write.auth.tenant_id, write.run.limits, nowMs) : null));
  const open = writes.filter((_write, index) => known[index] === null);
  if (open.length === writes.length) return flushOpen(pool, trail, writes, notes);
  const verdicts = open.length === 0 ? [] : await flushOpen(pool, trail, open, notes);
  let next = 0;
  return known.map((verdict) => verdict ?? verdicts[next++]!);
}

const mayReplay = ({ run: { idempotency } }: CreateWrite): boolean => idempotency !== null && idempotency.madeUp !== true;

async function flushOpen(pool: pg.Pool, trail: AuditTrail, writes: readonly RunWrite[], notes: AdmissionNotes): Promise<ReadonlyArray<RunVerdict | Error>> {
  for (let attempt = 1; ; attempt += 1) {
    const flush = new Flush(pool, trail, writes, notes);
    try {
      return await flush.run();
    } catch (thrown) {
      const error = flush.statementError ?? thrown;
      if (isRetryableTransaction(error) && attempt < CONTENTION_ATTEMPTS) continue;
      const cause = (error as Error).cause;
      const unknown = isConnectionError(error) || isConnectionError(cause);
      // Only a connection that broke leaves it open whether the transaction was applied.
      throw unknown ? fromDatabaseError(error) : new FlushRolledBackError(fromDatabaseError(error));
    }
  }
}

type Slot<W extends RunWrite> = { readonly ord: number; readonly write: W };

class Flush {
  readonly #pool: pg.Pool;
  readonly #trail: AuditTrail;
  readonly #notes: AdmissionNotes;
  readonly #backlog: Backlog;
  readonly #verdicts: (RunVerdict | Error)[];
  readonly #tenants: readonly string[];
  readonly #creates: Slot<CreateWrite>[] = [];
  readonly #advances: Slot<AdvanceWrite>[] = [];
  readonly #cancels: Slot<CancelWrite>[] = [];
  readonly #writes: readonly RunWrite[];
  readonly #applied: { readonly row: AppliedRow; readonly bytes: number }[] = [];
  readonly #pending: Promise<unknown>[] = [];
  readonly #deeds: AuditRow[] = [];
  #chained: Promise<AppendedRow[]> | null = null;
  /** What was decided, worth remembering once it is committed. */
  readonly #learned: { readonly seen: SeenTenant; readonly refusal: Refusal | null }[] = [];
  /** The first statement that failed; COMMIT then only reports that it rolled back. */
  statementError: unknown = null;

  constructor(pool: pg.Pool, trail: AuditTrail, writes: readonly RunWrite[], notes: AdmissionNotes) {
    this.#pool = pool;
    this.#trail = trail;
    this.#notes = notes;
    this.#backlog = notes.backlog;
    this.#writes = writes;
    this.#verdicts = new Array<RunVerdict | Error>(writes.length);
    this.#tenants = [...new Set(writes.map(tenantOf))].sort();
    for (const [ord, write] of writes.entries()) {
      if (write.kind === 'create') this.#creates.push({ ord, write });
      else if (write.kind === 'advance') this.#advances.push({ ord, write });
      else this.#cancels.push({ ord, write });
    }
  }

  async run(): Promise<ReadonlyArray<RunVerdict | Error>> {
    await withTenantTogether(this.#pool, this.#tenants, (client) => this.#body(client), { attempts: 1 });
    // Committed, so every statement succeeded; nothing below may fail the flush as a whole.
    await Promise.all(this.#pending);
    if (this.#chained !== null) this.#trail.committed(this.#deeds, await this.#chained);
    for (const { seen, refusal } of this.#learned) this.#notes.decided(seen, refusal);
    for (const { row, bytes } of this.#applied) {
      const { transition, applied } = this.#writes[row.ord] as AdvanceWrite;
      applied?.(isoTime(row.now_ms), row.last_seq, bytes * transition.events.length);
    }
    await this.#readBack();
    return this.#verdicts;
  }

  /** Ends as soon as the last statement is sent: COMMIT travels right behind it. */
  async #body(client: StatementSender): Promise<void> {
    const moves = this.#creates.length + this.#cancels.length + this.#advances.filter(({ write }) => write.transition.end !== null).length;
    this.#backlog.within(this.#creates[0]?.write.run.limits.maxQueuedRuns);
    const countUpTo = this.#creates.length === 0 ? null : this.#backlog.countUpTo(performance.now(), this.#creates.length);
    if (countUpTo !== null) this.#later(this.#send(client, LOCK_QUEUE, []));
    const locked = moves > 0 ? this.#send<LockRow>(client, LOCK_TENANTS, [this.#tenants]) : null;
    const queue = this.#creates.length > 0 ? this.#send<QueueRow>(client, READ_QUEUE, [this.#tenants, countUpTo]) : null;
    const keys = this.#sendKeys(client);
    const advanced = this.#sendAdvances(client);
    const canceled = this.#sendCancels(client);
    if (queue !== null) {
      const rows = await locked!;
      if (rows.length === this.#tenants.length) this.#decide(client, rows, await queue, await keys);
      else await this.#decideForNewTenants(client, countUpTo);
    }
    await this.#noteOutcomes(advanced, canceled);
    this.#appendDeeds(client);
  }

  /**
   * Whether a run was canceled, or a step with a denied tool was still the run's, only the database knows; their records
   * wait for its answer. Nothing else does.
   */
  async #noteOutcomes(advanced: Promise<readonly AppliedRow[]> | null, canceled: Promise<readonly (RunRow & { ord: number })[]> | null): Promise<void> {
    if (canceled !== null) {
      for (const row of await canceled) this.#deeds.push(this.#trail.row((this.#writes[row.ord] as CancelWrite).auth, runCanceled(row)));
    }
    const denials = this.#advances.map(({ ord, write }) => ({ ord, write, denied: toolsDenied(write.lease.runId, write.transition.events) })).filter(({ denied }) => denied.length > 0);
    if (denials.length === 0) return;
    const applied = new Set((await advanced!).map(({ ord }) => ord));
    for (const { write, denied } of denials.filter(({ ord }) => applied.has(ord))) this.#deeds.push(...denied.map((facts) => this.#trail.row(write.auth, facts)));
  }

  /** Behind everything else: who holds the end of a chain waits for nothing but the commit. */
  #appendDeeds(client: StatementSender): void {
    if (this.#deeds.length === 0) return;
    this.#chained = this.#trail.send(client, this.#deeds);
    this.#later(this.#chained.catch((error: unknown) => {
      this.statementError ??= error;
      throw error;
    }));
  }

  /**
   * A tenant without a row had nothing to lock, so what was read behind the lock may be of before another process's
   * creation: everything is read again once the row is there and locked.
   */
  async #decideForNewTenants(client: StatementSender, countUpTo: number | null): Promise<void> {
    await this.#send(client, ADD_TENANTS, [this.#tenants]);
    const locked = this.#send<LockRow>(client, LOCK_TENANTS, [this.#tenants]);
    const queue = this.#send<QueueRow>(client, READ_QUEUE, [this.#tenants, countUpTo]);
    const keys = this.#sendKeys(client);
    this.#decide(client, await locked, await queue, await keys);
  }

  /** Sends a prepared statement; a failure is kept for `flushWrites` and for whoever awaits the rows. */
  #send<Row extends pg.QueryResultRow>(client: StatementSender, statement: NamedStatement, values: readonly Parameter[]): Promise<Row[]> {
    const rows = client.query<Row>({ ...statement, values }).then(
      (result) => result.rows,
      (error: unknown) => {
        this.statementError ??= error;
        throw error;
      },
    );
    rows.catch(() => undefined);
    return rows;
  }

  /** Awaited after COMMIT; until then its failure is only noted, and COMMIT reports it. */
  #later(promise: Promise<unknown>): void {
    promise.catch(() => undefined);
    this.#pending.push(promise);
  }

  #sendKeys(client: StatementSender): Promise<KeyRow[]> {
    const keyed = this.#creates
      .filter(({ write }) => mayReplay(write))
      .map(({ ord, write: { auth, run } }) => ({ ord, tenant_id: auth.tenant_id, principal_id: auth.principal.principal_id, agent_id: run.agent.agentId, key: run.idempotency!.key }));
    return keyed.length === 0 ? Promise.resolve([]) : this.#send<KeyRow>(client, READ_KEYS, [JSON.stringify(keyed)]);
  }

  #decide(client: StatementSender, locked: LockRow[], queue: QueueRow[], keys: KeyRow[]): void {
    const tenants = new Map(locked.map((row): [string, TenantRunsState] => [row.tenant_id, { active: row.active, arrivalMs: row.arrival_ms }]));
    const first = queue[0]!;
    if (first.queued !== null) this.#backlog.counted(first.queued, performance.now());
    const nowMs = first.now_ms;
    const places = new QueuePlaces(first.smallest, new Map(queue.map((row): [string, WaitingRanks] => [row.tenant_id, [row.low, row.normal, row.high]])), new Map(locked.map((row): [string, GivenRanks] => [row.tenant_id, row.last_ranks])));
    const known = new Map(keys.map((row) => [row.ord, row]));
    // A new run is handed over only where none of any tenant waits that would have to go first.
    const waits = first.smallest !== null;
    const admitted: Record<string, unknown>[] = [];
    const events: Record<string, unknown>[] = [];
    const facets: FacetRow[] = [];
    const counts = new Map<string, number>();
    const decidedMs = performance.now();
    for (const { ord, write } of this.#creates) {
      const { auth, run } = write;
      const key = known.get(ord);
      if (key !== undefined) {
        this.#verdicts[ord] =
          key.request_hash === run.idempotency!.requestHash ? { outcome: 'replayed', run: recordOf(key) } : { outcome: 'key_reused', runId: key.run_id };
        continue;
      }
      const admission = admit(tenants.get(auth.tenant_id)!, run.limits, nowMs);
      if (admission.outcome !== 'admitted') {
        this.#learned.push({ seen: { tenantId: auth.tenant_id, limits: run.limits, state: tenants.get(auth.tenant_id)!, nowMs, decidedMs }, refusal: admission });
        this.#verdicts[ord] = admission;
        continue;
      }
      const full = this.#backlog.full(decidedMs);
      if (full !== null) {
        this.#verdicts[ord] = { outcome: 'queue_full', limit: full };
        continue;
      }
      tenants.set(auth.tenant_id, admission.state);
      this.#learned.push({ seen: { tenantId: auth.tenant_id, limits: run.limits, state: admission.state, nowMs, decidedMs }, refusal: null });
      counts.set(auth.tenant_id, (counts.get(auth.tenant_id) ?? 0) + 1);
      const record = newRecord(auth, run, isoTime(Math.floor(nowMs)));
      const handedOver = waits || (run.handover ?? null) === null ? null : handedOverRun(auth, run, record, randomUUID());
      // Whoever waits for nothing takes no place in the queue.
      const rank = handedOver === null ? places.next(auth.tenant_id, PRIORITY_LEVEL[run.options.priority]) : 0;
      if (handedOver === null) this.#backlog.admitted();
      admitted.push(createRow(write, rank, handedOver?.lease.token ?? null));
      facets.push(...facetRows(auth.tenant_id, run));
      events.push(...firstEvents(write, handedOver !== null));
      if (this.#trail.enabled) this.#deeds.push(this.#trail.row(auth, runCreated(run)));
      this.#verdicts[ord] = { outcome: 'created', run: record, handedOver };
    }
    if (admitted.length === 0) return;
    const counters = [...counts].map(([tenantId, count]) => ({ tenant_id: tenantId, admitted: count, arrival_ms: tenants.get(tenantId)!.arrivalMs, last_ranks: places.given(tenantId) }));
    this.#later(this.#send(client, CREATE_RUNS, [storableJson(admitted), JSON.stringify(counters), Math.floor(nowMs), storableJson(events)]));
    if (facets.length > 0) this.#later(this.#send(client, ADD_FACETS, [storableJson(facets)]));
  }

  #sendAdvances(client: StatementSender): Promise<AppliedRow[]> | null {
    if (this.#advances.length === 0) return null;
    const runs: unknown[] = [];
    const events: unknown[] = [];
    for (const { ord, write } of this.#advances) {
      const { lease, transition } = write;
      const { end, summaryDelta } = transition;
      runs.push({
        ord,
        tenant_id: lease.tenantId,
        run_id: lease.runId,
        token: lease.token,
        step: transition.expectedStep,
        events: transition.events.length,
        steps: summaryDelta.stepsTotal,
        tool_calls: summaryDelta.toolCallsTotal,
        model_calls: summaryDelta.modelCallsTotal,
        status: end?.status,
        output: end?.status === 'completed' ? end.output : undefined,
        error: end?.status === 'failed' ? end.error : undefined,
      });
      for (const [index, event] of transition.events.entries()) {
        events.push({ ord, idx: index + 1, event_id: event.eventId, type: event.type, step_id: event.stepId, span_id: event.spanId, payload: event.payload });
      }
    }
    const raw = JSON.stringify(events);
    const json = storableText(raw);
    // Text that had to be changed is read back as it was stored.
    const unchanged = json === raw;
    const applied = this.#send<AppliedRow>(client, ADVANCE_RUNS, [storableJson(runs), json]);
    this.#later(
      applied.then((rows) => {
        for (const row of rows) {
          this.#verdicts[row.ord] = { outcome: 'applied', lastSequence: row.last_seq };
          this.#applied.push({ row, bytes: unchanged ? json.length / events.length : Number.POSITIVE_INFINITY });
        }
      }),
    );
    return applied;
  }

  #sendCancels(client: StatementSender): Promise<(RunRow & { ord: number })[]> | null {
    if (this.#cancels.length === 0) return null;
    const rows = this.#cancels.map(({ ord, write: { auth, runId, canceled } }) => ({
      ord,
      tenant_id: auth.tenant_id,
      run_id: runId,
      event_id: canceled.eventId,
      type: canceled.type,
      span_id: canceled.spanId,
      payload: canceled.payload,
    }));
    const canceled = this.#send<RunRow & { ord: number }>(client, CANCEL_RUNS, [storableJson(rows)]);
    this.#later(
      canceled.then((found) => {
        for (const row of found) this.#verdicts[row.ord] = recordOf(row);
      }),
    );
    return canceled;
  }

  /** Zero rows: look what the store says. The log tells a transition of ours that was committed before from a lost lease. */
  async #readBack(): Promise<void> {
    const open = [...this.#advances, ...this.#cancels].filter(({ ord }) => this.#verdicts[ord] === undefined);
    if (open.length === 0) return;
    const questions = open.map(({ ord, write }) => ({
      ord,
      tenant_id: tenantOf(write),
      run_id: write.kind === 'advance' ? write.lease.runId : write.runId,
      event_id: write.kind === 'advance' ? write.transition.events.at(-1)?.eventId : write.canceled.eventId,
    }));
    let rows: BackRow[];
    try {
      rows = await withTenantTogether(this.#pool, this.#tenants, (client) => this.#send<BackRow>(client, READ_BACK, [JSON.stringify(questions)]));
    } catch (error) {
      // The flush itself stands: only the writes whose outcome is still unknown are told that it is.
      for (const { ord } of open) this.#verdicts[ord] = error as Error;
      return;
    }
    const found = new Map(rows.map((row) => [row.ord, row]));
    for (const { ord, write } of open) {
      const row = found.get(ord);
      this.#verdicts[ord] = write.kind === 'advance' ? refusedAdvance(write, row) : refusedCancel(write, row);
    }
  }
}

function refusedAdvance(write: AdvanceWrite, row: BackRow | undefined): AdvanceResult {
  if (row !== undefined && row.written && row.step > write.transition.expectedStep) return { outcome: 'already_applied', lastSequence: row.last_seq };
  return { outcome: 'fenced', status: row?.status ?? 'canceled' };
}

function refusedCancel(write: CancelWrite, row: BackRow | undefined): Error {
  if (row === undefined) return new AgentOsError('not_found', { message: `There is no run ${write.runId}.`, details: { run_id: write.runId } });
  return new AgentOsError('invalid_state_transition', {
    message: `Run ${write.runId} has ended as ${row.status}; only a queued or running run can be canceled.`,
    details: { run_id: write.runId, status: row.status },
  });
}
