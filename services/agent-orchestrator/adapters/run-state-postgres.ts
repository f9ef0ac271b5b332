/**
 * Runs in Postgres. All writes go through one group commit: many runs' writes share a transaction, and each gets its
 * own verdict (see `run-writes-postgres.ts`). Reads are single statements under row-level security.
 */
import type pg from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { GroupCommit, type GroupCommitOptions } from '../../platform/db/group-commit.ts';
import type { AdvanceResult, CreateRunResult, EventDraft, ListRunsQuery, NewRun, RunLease, RunRecord, RunStatePort, RunTransition } from '../ports/run-state.ts';
import type { EventTail } from './event-tail.ts';
import { readAsTenant, readScoped, scoped } from './postgres-read.ts';
import { RUN_COLUMNS, recordOf, type RunRow } from './run-rows.ts';
import { flushWrites, writeKey, type RunVerdict, type RunWrite } from './run-writes-postgres.ts';

const GET_RUN = scoped('ao_get_run', `SELECT ${RUN_COLUMNS} FROM orchestrator.runs r WHERE r.tenant_id = s.tenant_id AND r.run_id = $2`);

/** One text a combination of filters, so that each has a plan of its own. */
function listStatement(query: ListRunsQuery): { name: string; text: string } {
  const conditions = ['r.tenant_id = $1'];
  if (query.agentId !== undefined) conditions.push('r.agent_id = $3');
  if (query.status !== undefined) conditions.push('r.status = $4');
  if (query.after !== undefined) conditions.push('r.run_id < $5');
  return {
    name: `ao_list_runs_${query.agentId === undefined ? 0 : 1}${query.status === undefined ? 0 : 1}${query.after === undefined ? 0 : 1}`,
    text: `SELECT ${RUN_COLUMNS} FROM orchestrator.runs r WHERE ${conditions.join(' AND ')}
      AND ($3::text IS NULL OR true) AND ($4::text IS NULL OR true) AND ($5::text IS NULL OR true)
      ORDER BY r.run_id DESC LIMIT $2`,
  };
}

/** Beyond these the executor, which knows whether it still holds the lease, decides how long to go on. */
const ADVANCE_ATTEMPTS = 3;

export interface PostgresRunStateOptions {
  /** Flushes under way at once. */
  readonly lanes?: number;
  readonly maxBatch?: number;
  /** Told what was committed, for readers in this process. */
  readonly tail?: EventTail;
  readonly onFlush?: GroupCommitOptions<RunWrite, RunVerdict>['onFlush'];
}

export class PostgresRunState implements RunStatePort {
  readonly #pool: pg.Pool;
  readonly #writer: GroupCommit<RunWrite, RunVerdict>;
  readonly #tail: EventTail | undefined;

  constructor(pool: pg.Pool, options: PostgresRunStateOptions = {}) {
    this.#pool = pool;
    this.#tail = options.tail;
    this.#writer = new GroupCommit<RunWrite, RunVerdict>({
      flush: (writes) => flushWrites(pool, writes),
      key: writeKey,
      lanes: options.lanes ?? 1,
      maxBatch: options.maxBatch ?? 128,
      overload: () => new AgentOsError('dependency_unavailable', { message: 'Too many writes are waiting for the database.', details: { service: 'postgres', reason: 'overloaded' }, retryAfterSeconds: 1 }),
      ...(options.onFlush === undefined ? {} : { onFlush: options.onFlush }),
    });
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: ['group_commit', 'fencing', 'idempotency'] };
  }

  async createRun(auth: AuthContext, run: NewRun): Promise<CreateRunResult> {
    try {
      const result = (await this.#writer.submit({ kind: 'create', auth, run })) as CreateRunResult;
      if (result.outcome === 'created') this.#tail?.begin(auth, run, result.run.createdAt);
      return result;
    } catch (error) {
      // A commit whose answer was lost may stand. The run id is ours alone, so finding it settles the question.
      const found = isUnavailable(error) ? await this.#findAfterLoss(auth, run.runId) : null;
      if (found === null) throw error;
      return { outcome: 'created', run: found };
    }
  }

  async getRun(auth: AuthContext, runId: string): Promise<RunRecord> {
    const run = await this.#find(auth, runId);
    if (run === null) throw new AgentOsError('not_found', { message: `There is no run ${runId}.`, details: { run_id: runId } });
    return run;
  }

  async listRuns(auth: AuthContext, query: ListRunsQuery): Promise<{ readonly runs: readonly RunRecord[]; readonly hasMore: boolean }> {
    const values = [auth.tenant_id, query.limit + 1, query.agentId ?? null, query.status ?? null, query.after ?? null];
    const rows = await readAsTenant<RunRow>(this.#pool, auth.tenant_id, listStatement(query), values);
    return { runs: rows.slice(0, query.limit).map(recordOf), hasMore: rows.length > query.limit };
  }

  async cancelRun(auth: AuthContext, runId: string, canceled: EventDraft): Promise<RunRecord> {
    const write: RunWrite = { kind: 'cancel', tenantId: auth.tenant_id, runId, canceled };
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
    if (auth.tenant_id !== lease.tenantId) throw new AgentOsError('not_found', { message: `There is no run ${lease.runId}.`, details: { run_id: lease.runId } });
    const write: RunWrite = {
      kind: 'advance',
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
  close(): Promise<void> {
    return this.#writer.close();
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
