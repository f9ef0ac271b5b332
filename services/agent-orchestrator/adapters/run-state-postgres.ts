/**
 * Runs in Postgres. All writes go through one group commit: many runs' writes share a transaction, and each gets its
 * own verdict (see `run-writes-postgres.ts`). Reads are single statements under row-level security.
 */
import type pg from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { AuditTrail } from '../../platform/audit/audit-trail.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { GroupCommit, type GroupCommitOptions } from '../../platform/db/group-commit.ts';
import type { AdmissionLimits, AdvanceResult, CreateRunResult, EventDraft, ListRunsQuery, NewRun, RetentionQuery, RunLease, RunPage, RunRecord, RunStatePort, RunTransition, RunWork } from '../ports/run-state.ts';
import type { WorkerIdentity } from '../ports/queue.ts';
import type { EventTail } from './event-tail.ts';
import { AdmissionNotes } from '../tenancy/admission-notes.ts';
import { readAsTenant, readScoped, scoped } from './postgres-read.ts';
import { listRunsStatement } from './run-list-postgres.ts';
import { RunKeys } from './run-keys-postgres.ts';
import { deleteExpired } from './run-retention-postgres.ts';
import { RUN_COLUMNS, recordOf, type RunRow, type StoredWork } from './run-rows.ts';
import { flushWrites, tenantOf, writeKey, type RunVerdict, type RunWrite } from './run-writes-postgres.ts';

const GET_RUN = scoped('ao_get_run', `SELECT ${RUN_COLUMNS} FROM orchestrator.runs r WHERE r.tenant_id = s.tenant_id AND r.run_id = $2`);

const GET_WORK = scoped('ao_get_work', `SELECT ${RUN_COLUMNS}, r.work FROM orchestrator.runs r WHERE r.tenant_id = s.tenant_id AND r.run_id = $2`);

/** A tenant's writes take one lane at a time, so that what one tenant does holds up no other while fewer than this do it. */
const DEFAULT_LANES = 3;

/** Beyond these the executor, which knows whether it still holds the lease, decides how long to go on. */
const ADVANCE_ATTEMPTS = 3;

export interface PostgresRunStateOptions {
  /** Flushes under way at once. */
  readonly lanes?: number;
  readonly maxBatch?: number;
  /** Told what was committed, for readers in this process. */
  readonly tail?: EventTail;
  /** The audit log; absent: it is written, and nobody follows it. */
  readonly trail?: AuditTrail;
  readonly onFlush?: GroupCommitOptions<RunWrite, RunVerdict>['onFlush'];
}

export class PostgresRunState implements RunStatePort {
  readonly #pool: pg.Pool;
  readonly #writer: GroupCommit<RunWrite, RunVerdict>;
  readonly #tail: EventTail | undefined;
  readonly #notes = new AdmissionNotes();
  readonly #keys: RunKeys;

  constructor(pool: pg.Pool, options: PostgresRunStateOptions = {}) {
    const trail = options.trail ?? new AuditTrail({ service: 'agent-orchestrator' });
    this.#pool = pool;
    this.#tail = options.tail;
    this.#keys = new RunKeys(pool);
    this.#writer = new GroupCommit<RunWrite, RunVerdict>({
      flush: (writes) => flushWrites(pool, trail, writes, this.#notes),
      key: writeKey,
      group: tenantOf,
      lanes: options.lanes ?? DEFAULT_LANES,
      maxBatch: options.maxBatch ?? 128,
      overload: () => new AgentOsError('dependency_unavailable', { message: 'Too many writes are waiting for the database.', details: { service: 'postgres', reason: 'overloaded' }, retryAfterSeconds: 1 }),
      ...(options.onFlush === undefined ? {} : { onFlush: options.onFlush }),
    });
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.1', durable: true, features: ['group_commit', 'fencing', 'idempotency', 'handover', 'retention'] };
  }

  refusal(auth: AuthContext, limits: AdmissionLimits): CreateRunResult | null {
    return this.#notes.refusal(auth.tenant_id, limits);
  }

  async createRun(auth: AuthContext, run: NewRun): Promise<CreateRunResult> {
    const refused = this.refusal(auth, run.limits);
    // A replay is answered whatever the limits are, so a refusal that stands does not hold for it.
    if (refused !== null && !(await this.#keys.has(auth, run))) return refused;
    try {
      const result = (await this.#writer.submit({ kind: 'create', auth, run })) as CreateRunResult;
      if (result.outcome === 'created') this.#beginTail(auth, run, result);
      return result;
    } catch (error) {
      // A commit whose answer was lost may stand. The run id is ours alone, so finding it settles the question.
      const found = isUnavailable(error) ? await this.#findAfterLoss(auth, run.runId) : null;
      if (found === null) throw error;
      return { outcome: 'created', run: found };
    }
  }

  #beginTail(auth: AuthContext, run: NewRun, { run: { createdAt }, handedOver }: Extract<CreateRunResult, { outcome: 'created' }>): void {
    this.#tail?.begin(auth, run, createdAt);
    if ((handedOver ?? null) === null) return;
    const drafts = [run.handover!.started, ...run.handover!.opening];
    this.#tail?.append(auth.tenant_id, run.runId, { drafts, lastSequence: handedOver!.run.lastSequence, time: createdAt, status: 'running', bytes: 400 * drafts.length });
  }

  async getRun(auth: AuthContext, runId: string): Promise<RunRecord> {
    const run = await this.#find(auth, runId);
    if (run === null) throw noSuchRun(runId);
    return run;
  }

  async getWork(auth: AuthContext, runId: string): Promise<RunWork> {
    const [row] = await readScoped<RunRow & { readonly work: StoredWork }>(this.#pool, GET_WORK, [auth.tenant_id, runId]);
    if (row === undefined) throw noSuchRun(runId);
    return { ...recordOf(row), ...row.work };
  }

  async listRuns(auth: AuthContext, query: ListRunsQuery): Promise<RunPage> {
    const { statement, values } = listRunsStatement(auth.tenant_id, query);
    const rows = await readAsTenant<RunRow>(this.#pool, auth.tenant_id, statement, values);
    return { runs: rows.slice(0, query.limit).map(recordOf), hasMore: rows.length > query.limit };
  }

  deleteExpired(_worker: WorkerIdentity, query: RetentionQuery): Promise<{ readonly runs: number; readonly keys: number }> {
    return deleteExpired(this.#pool, query);
  }

  async cancelRun(auth: AuthContext, runId: string, canceled: EventDraft): Promise<RunRecord> {
    const write: RunWrite = { kind: 'cancel', auth, runId, canceled };
    try {
      const run = (await this.#writer.submit(write)) as RunRecord;
      this.#tail?.append(auth.tenant_id, runId, { drafts: [canceled], lastSequence: run.lastSequence, time: run.completedAt!, status: 'canceled', bytes: 200 });
      return run;
    } catch (error) {
      const found = isUnavailable(error) ? await this.#findAfterLoss(auth, runId) : null;
      if (found === null || found.status !== 'canceled') throw error;
      return found;
    }
  }

  async advance(auth: AuthContext, lease: RunLease, transition: RunTransition): Promise<AdvanceResult> {
    if (auth.tenant_id !== lease.tenantId) throw noSuchRun(lease.runId);
    const write: RunWrite = {
      kind: 'advance',
      auth,
      lease,
      transition,
      applied: (time, lastSequence, bytes) =>
        this.#tail?.append(lease.tenantId, lease.runId, { drafts: transition.events, lastSequence, time, status: transition.end?.status ?? 'running', bytes }),
    };
    for (let attempt = 1; ; attempt += 1) {
      try {
        return (await this.#writer.submit(write)) as AdvanceResult;
      } catch (error) {
        // Writing again is reading back: the step comparison refuses what was applied, and the log says so.
        if (!isUnavailable(error) || attempt >= ADVANCE_ATTEMPTS) throw error;
        await sleep(25 * attempt);
      }
    }
  }

  /** Takes no more writes; resolves when those accepted have their verdict. */
  async close(): Promise<void> {
    await Promise.all([this.#writer.close(), this.#keys.close()]);
  }

  async #find(auth: AuthContext, runId: string): Promise<RunRecord | null> {
    const [row] = await readScoped<RunRow>(this.#pool, GET_RUN, [auth.tenant_id, runId]);
    return row === undefined ? null : recordOf(row);
  }

  async #findAfterLoss(auth: AuthContext, runId: string): Promise<RunRecord | null> {
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      await sleep(25 * attempt);
      try {
        const run = await this.#find(auth, runId);
        if (run !== null) return run;
      } catch (error) {
        if (!isUnavailable(error)) throw error;
      }
    }
    return null;
  }
}

const isUnavailable = (error: unknown): boolean => error instanceof AgentOsError && error.code === 'dependency_unavailable';

const noSuchRun = (runId: string): AgentOsError => new AgentOsError('not_found', { message: `There is no run ${runId}.`, details: { run_id: runId } });
