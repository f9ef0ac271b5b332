/**
 * Which idempotency keys are known, for creations that are refused unless they repeat one that was made before.
 *
 * A tenant that is refused asks often, so the questions share statements, and take one connection however many there
 * are: were each to take one, the writes of everybody would wait behind them for the pool.
 */
import type pg from 'pg';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { GroupCommit } from '../../platform/db/group-commit.ts';
import { withTenant } from '../../platform/db/transaction.ts';
import type { NewRun } from '../ports/run-state.ts';

interface KeyQuestion {
  readonly tenant_id: string;
  readonly principal_id: string;
  readonly agent_id: string;
  readonly key: string;
}

const HAS_KEYS = {
  name: 'ao_has_keys',
  text: `SELECT k.ord FROM json_to_recordset($1::json) AS k (ord int, tenant_id text, principal_id text, agent_id text, key text)
    CROSS JOIN LATERAL (SELECT FROM orchestrator.idempotency_keys i
      WHERE i.tenant_id = k.tenant_id AND i.principal_id = k.principal_id AND i.agent_id = k.agent_id AND i.key = k.key OFFSET 0) i`,
};

export class RunKeys {
  readonly #questions: GroupCommit<KeyQuestion, boolean>;

  constructor(pool: pg.Pool) {
    this.#questions = new GroupCommit<KeyQuestion, boolean>({ flush: (questions) => ask(pool, questions), group: ({ tenant_id }) => tenant_id });
  }

  /** Whether the key was used before, be it past its time. @throws AgentOsError dependency_unavailable. */
  async has(auth: AuthContext, { idempotency, agent }: NewRun): Promise<boolean> {
    if (idempotency === null || idempotency.madeUp === true) return false;
    return this.#questions.submit({ tenant_id: auth.tenant_id, principal_id: auth.principal.principal_id, agent_id: agent.agentId, key: idempotency.key });
  }

  close(): Promise<void> {
    return this.#questions.close();
  }
}

async function ask(pool: pg.Pool, questions: readonly KeyQuestion[]): Promise<readonly boolean[]> {
  const tenants = [...new Set(questions.map(({ tenant_id }) => tenant_id))];
  const values = [JSON.stringify(questions.map((question, ord) => ({ ord, ...question })))];
  const rows = await withTenant(pool, tenants, async (client) => (await client.query<{ ord: number }>({ ...HAS_KEYS, values })).rows);
  const known = new Set(rows.map(({ ord }) => ord));
  return questions.map((_question, ord) => known.has(ord));
}
