/**
 * The index of forwards in `federation.forwards`. The database's clock counts; a forward and the audit record of its run
 * are one transaction.
 */
import type pg from 'pg';
import type { AuditRow } from '../../platform/audit/audit-row.ts';
import type { AppendedRow } from '../../platform/audit/audit-sql.ts';
import { AuditTrail } from '../../platform/audit/audit-trail.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { FlushRolledBackError, GroupCommit } from '../../platform/db/group-commit.ts';
import type { NamedStatement, StatementAnswer } from '../../platform/db/statement-batch.ts';
import { AmbiguousCommitError, withScheduler, withTenantTogether } from '../../platform/db/transaction.ts';
import type { Run } from '../../../generated/types/index.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { BeginForward, ForwardedTo, ForwardIndexPort, ForwardKey, ForwardRecord, NewForward } from '../ports/forward-index.ts';
import { forwardedElsewhere, forwardNotFound, runForwarded } from './forward-index-rules.ts';

interface ForwardRow extends pg.QueryResultRow {
  readonly forward_id: string;
  readonly tenant_id: string;
  readonly principal_id: string;
  readonly agent_id: string;
  readonly target_stack_id: string;
  readonly correlation_id: string;
  readonly created_ms: number;
  readonly request_hash: string | null;
  readonly remote_run_id: string | null;
  readonly remote_events_url: string | null;
  readonly remote_status: string | null;
}

const COLUMNS = `forward_id, tenant_id, principal_id, agent_id, target_stack_id, correlation_id, extract(epoch FROM created_at)::float8 * 1000 AS created_ms,
  request_hash, remote_run_id, remote_events_url, remote_status`;
const KEY_SCOPE = 'tenant_id = $1 AND principal_id = $2 AND agent_id = $3 AND idempotency_key = $4';

const FIND_BY_KEY = { name: 'fed_forward_by_key', text: `SELECT ${COLUMNS} FROM federation.forwards WHERE ${KEY_SCOPE} AND key_expires_at > clock_timestamp()` };
const FREE_OLD_KEY = { name: 'fed_forward_free_key', text: `UPDATE federation.forwards SET idempotency_key = NULL, request_hash = NULL, key_expires_at = NULL WHERE ${KEY_SCOPE} AND key_expires_at <= clock_timestamp()` };
const BEGIN = {
  name: 'fed_forward_begin',
  text: `INSERT INTO federation.forwards (tenant_id, principal_id, agent_id, idempotency_key, forward_id, target_stack_id, correlation_id, created_at, request_hash, key_expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), $8, clock_timestamp() + $9 * interval '1 hour')
    ON CONFLICT (tenant_id, principal_id, agent_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING RETURNING ${COLUMNS}`,
};
const COMPLETE = {
  name: 'fed_forward_complete',
  text: `UPDATE federation.forwards SET remote_run_id = $3, remote_events_url = $4, remote_status = $5, completed_at = clock_timestamp()
    WHERE tenant_id = $1 AND forward_id = $2 AND remote_run_id IS NULL RETURNING ${COLUMNS}`,
};
const GET = { name: 'fed_forward_get', text: `SELECT ${COLUMNS} FROM federation.forwards WHERE tenant_id = $1 AND forward_id = $2` };
const ABANDON = { name: 'fed_forward_abandon', text: 'UPDATE federation.forwards SET idempotency_key = NULL, request_hash = NULL, key_expires_at = NULL WHERE tenant_id = $1 AND forward_id = $2 AND remote_run_id IS NULL' };
const FIND_BY_RUN = { name: 'fed_forward_by_run', text: `SELECT ${COLUMNS} FROM federation.forwards WHERE tenant_id = $1 AND remote_run_id = $2` };
const DELETE_EXPIRED = `DELETE FROM federation.forwards WHERE (tenant_id, forward_id) IN (
  SELECT tenant_id, forward_id FROM federation.forwards WHERE created_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`;

interface Completion {
  readonly auth: AuthContext;
  readonly forwardId: string;
  readonly remote: ForwardedTo;
}

const COMPLETION_LANES = 4;
/** A key may be given up between two statements of one `begin`; each time that happens it is free for the next try. */
const KEY_ATTEMPTS = 5;

export class PostgresForwardIndex implements ForwardIndexPort {
  readonly #pool: pg.Pool;
  readonly #trail: AuditTrail;
  /** The record of a tenant's deed waits for the one before to be on disk, unless they are written together. */
  readonly #completions = new GroupCommit<Completion, ForwardRecord>({
    lanes: COMPLETION_LANES,
    group: ({ auth }) => auth.tenant_id,
    key: ({ auth, forwardId }) => `${auth.tenant_id}\n${forwardId}`,
    flush: (all) => this.#completeAll(all),
  });

  constructor(pool: pg.Pool, trail: AuditTrail = new AuditTrail({ service: 'federation' })) {
    this.#pool = pool;
    this.#trail = trail;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  async find(auth: AuthContext, agentId: string, { key, requestHash }: ForwardKey): Promise<Exclude<BeginForward, { readonly outcome: 'new' }> | null> {
    const row = await this.#atOnce(auth, [{ ...FIND_BY_KEY, values: [auth.tenant_id, auth.principal.principal_id, agentId, key] }]);
    return row === null ? null : underKey(row, requestHash);
  }

  async begin(auth: AuthContext, { forwardId, targetStackId, run, correlationId, idempotency }: NewForward): Promise<BeginForward> {
    const scope = [auth.tenant_id, auth.principal.principal_id, run.agent_id, idempotency?.key ?? null];
    const values = [...scope, forwardId, targetStackId, correlationId, idempotency?.requestHash ?? null, idempotency?.ttlHours ?? null];
    for (let attempt = 1; attempt <= KEY_ATTEMPTS; attempt += 1) {
      const begun = await this.#atOnce(auth, [...(idempotency === null ? [] : [{ ...FREE_OLD_KEY, values: scope }]), { ...BEGIN, values }]);
      if (begun !== null) return { outcome: 'new', forward: recordOf(begun) };
      const known = await this.find(auth, run.agent_id, idempotency!);
      if (known !== null) return known;
    }
    throw new AgentOsError('dependency_unavailable', { message: 'Other requests under the same idempotency key keep being given up. Try again.', details: { reason: 'idempotency_key_contended' } });
  }

  complete(auth: AuthContext, forwardId: string, remote: ForwardedTo): Promise<ForwardRecord> {
    return this.#completions.submit({ auth, forwardId, remote });
  }

  /** Ends when what was begun is written. */
  close(): Promise<void> {
    return this.#completions.close();
  }

  async #completeAll(all: readonly Completion[]): Promise<(ForwardRecord | Error)[]> {
    try {
      let deeds: AuditRow[] = [];
      let chained: Promise<readonly AppendedRow[]> = Promise.resolve([]);
      const completed = await withTenantTogether(this.#pool, [...new Set(all.map(({ auth }) => auth.tenant_id))], async (client) => {
        deeds = [];
        const answers = await Promise.all(all.map(({ auth, forwardId, remote }) => client.query<ForwardRow>({ ...COMPLETE, values: [auth.tenant_id, forwardId, remote.runId, remote.eventsUrl, remote.status] })));
        const records = await Promise.all(answers.map(async ({ rows: [completed] }, index): Promise<ForwardRecord | Error> => {
          const { auth, forwardId, remote } = all[index]!;
          if (completed !== undefined) {
            const record = recordOf(completed);
            deeds.push(this.#trail.row(auth, runForwarded(record, remote)));
            return record;
          }
          const { rows: [known] } = await client.query<ForwardRow>({ ...GET, values: [auth.tenant_id, forwardId] });
          if (known === undefined) return forwardNotFound(forwardId);
          return known.remote_run_id === remote.runId ? recordOf(known) : forwardedElsewhere(forwardId);
        }));
        // COMMIT travels with it.
        chained = this.#trail.send(client, deeds);
        chained.catch(() => undefined);
        return records;
      });
      this.#trail.committed(deeds, await chained);
      return completed;
    } catch (error) {
      if (!(error instanceof AgentOsError)) throw error;
      if (error.cause instanceof AmbiguousCommitError) throw error;
      // The one unique key that this can break is that of the run; which forward did it shows when each is written alone.
      throw new FlushRolledBackError(error.details['reason'] === 'already_exists' ? forwardedElsewhere(all[0]!.forwardId) : error);
    }
  }

  async abandon(auth: AuthContext, forwardId: string): Promise<void> {
    await this.#atOnce(auth, [{ ...ABANDON, values: [auth.tenant_id, forwardId] }]);
  }

  async findByRun(auth: AuthContext, remoteRunId: string): Promise<ForwardRecord | null> {
    const row = await this.#atOnce(auth, [{ ...FIND_BY_RUN, values: [auth.tenant_id, remoteRunId] }]);
    return row === null ? null : recordOf(row);
  }

  async deleteExpired(before: string, limit: number): Promise<number> {
    return withScheduler(this.#pool, async (client) => (await client.query(DELETE_EXPIRED, [before, limit])).rowCount ?? 0);
  }

  /** A transaction that is one packet each way; the first row of its last statement. */
  async #atOnce(auth: AuthContext, statements: readonly NamedStatement[]): Promise<ForwardRow | null> {
    let answers: readonly Promise<StatementAnswer<ForwardRow>>[] = [];
    await withTenantTogether(this.#pool, [auth.tenant_id], async (client) => {
      answers = statements.map((statement) => client.query<ForwardRow>(statement));
      // What one of them failed with is thrown by the transaction.
      for (const answer of answers) answer.catch(() => undefined);
    });
    return (await answers.at(-1))?.rows[0] ?? null;
  }
}

const underKey = (row: ForwardRow, requestHash: string): Exclude<BeginForward, { readonly outcome: 'new' }> =>
  row.request_hash === requestHash ? { outcome: 'repeated', forward: recordOf(row) } : { outcome: 'key_reused' };

function recordOf(row: ForwardRow): ForwardRecord {
  return {
    forwardId: row.forward_id,
    tenantId: row.tenant_id,
    principalId: row.principal_id,
    agentId: row.agent_id,
    targetStackId: row.target_stack_id,
    correlationId: row.correlation_id,
    createdAt: new Date(row.created_ms).toISOString(),
    remote: row.remote_run_id === null ? null : { runId: row.remote_run_id, eventsUrl: row.remote_events_url!, status: row.remote_status as Run['status'] },
  };
}
