/**
 * The judge of a fault test: what must hold of the stored runs whatever was done to the processes around them. It looks
 * at the tables themselves, past every wall and every service.
 */
import pg from 'pg';
import type { Acknowledged } from './continuous-load.ts';

export interface Verdict {
  /** Each names what is wrong and gives examples; empty when all holds. */
  readonly violations: readonly string[];
  readonly runs: number;
  readonly completed: number;
  /** Claims beyond each run's first. */
  readonly reclaims: number;
}

export interface JudgeOptions {
  readonly acknowledged: readonly Pick<Acknowledged, 'runId' | 'key' | 'tenantId'>[];
  /** The events of a run that completed, when every run does the same. */
  readonly log?: readonly string[];
  /** Share of runs that may have failed, because what they depend on was taken away for too long. */
  readonly failedAtMost?: number;
}

/** What a run of the sample agent writes: it asks the model, calls the echo tool, and asks the model again. */
export const ECHO_LOG: readonly string[] = [
  'run.created', 'run.started',
  'run.step.started', 'model.requested', 'model.completed', 'run.step.completed',
  'run.step.started', 'tool.call.requested', 'tool.call.completed', 'run.step.completed',
  'run.step.started', 'model.requested', 'model.completed', 'run.step.completed',
  'run.completed',
].map((type) => `agentos.${type}`);

/** Questions whose answer must be no rows. `example` says what was found. */
const MUST_BE_EMPTY: Readonly<Record<string, string>> = {
  'sequences run from 1 to last_seq without gap or repeat': `
    SELECT r.run_id || ': last_seq ' || r.last_seq || ', events ' || count(e.sequence) || ', ' || count(DISTINCT e.sequence) || ' distinct, up to ' || coalesce(max(e.sequence), 0) AS example
    FROM orchestrator.runs r LEFT JOIN orchestrator.run_events e ON e.tenant_id = r.tenant_id AND e.run_id = r.run_id
    GROUP BY r.tenant_id, r.run_id, r.last_seq
    HAVING count(e.sequence) <> r.last_seq OR count(DISTINCT e.sequence) <> r.last_seq OR coalesce(max(e.sequence), 0) <> r.last_seq OR min(e.sequence) <> 1`,
  'every run has ended': `SELECT run_id || ' is ' || status AS example FROM orchestrator.runs WHERE status NOT IN ('completed', 'failed', 'canceled')`,
  'exactly one terminal event a run, with nothing after it': `
    SELECT r.run_id || ': ' || coalesce(string_agg(e.type || '@' || e.sequence, ', '), 'none') || ' of ' || r.last_seq AS example
    FROM orchestrator.runs r LEFT JOIN orchestrator.run_events e ON e.tenant_id = r.tenant_id AND e.run_id = r.run_id
      AND e.type IN ('agentos.run.completed', 'agentos.run.failed', 'agentos.run.canceled')
    WHERE r.status IN ('completed', 'failed', 'canceled')
    GROUP BY r.tenant_id, r.run_id, r.last_seq, r.status
    HAVING count(e.sequence) <> 1 OR max(e.sequence) <> r.last_seq OR max(e.type) <> 'agentos.run.' || r.status`,
  'no event is told twice': `
    SELECT run_id || ': ' || type || ' of ' || coalesce(step_id, 'the run') || ' ' || count(*) || ' times' AS example
    FROM orchestrator.run_events GROUP BY tenant_id, run_id, type, step_id HAVING count(*) > 1`,
  'no event belongs to a run of another tenant': `
    SELECT e.run_id || ' of ' || e.tenant_id AS example FROM orchestrator.run_events e
    WHERE NOT EXISTS (SELECT FROM orchestrator.runs r WHERE r.tenant_id = e.tenant_id AND r.run_id = e.run_id)`,
  'one run a key': `
    SELECT idempotency_key || ': ' || count(*) || ' runs' AS example FROM orchestrator.runs
    WHERE idempotency_key IS NOT NULL GROUP BY tenant_id, principal_id, agent_id, idempotency_key HAVING count(*) > 1`,
  'counters agree with the runs': `
    SELECT t.tenant_id || ': counter ' || t.active || ', runs ' || count(r.run_id) AS example
    FROM orchestrator.tenant_runs t LEFT JOIN orchestrator.runs r ON r.tenant_id = t.tenant_id AND r.status IN ('queued', 'running')
    GROUP BY t.tenant_id, t.active HAVING t.active <> count(r.run_id)`,
  'counts of steps and calls of completed runs agree with their events': `
    SELECT r.run_id || ': counted ' || r.steps_total || '/' || r.model_calls_total || '/' || r.tool_calls_total AS example
    FROM orchestrator.runs r JOIN orchestrator.run_events e ON e.tenant_id = r.tenant_id AND e.run_id = r.run_id
    WHERE r.status = 'completed' GROUP BY r.tenant_id, r.run_id, r.steps_total, r.model_calls_total, r.tool_calls_total
    HAVING r.steps_total <> count(*) FILTER (WHERE e.type = 'agentos.run.step.started')
      OR r.model_calls_total <> count(*) FILTER (WHERE e.type = 'agentos.model.requested')
      OR r.tool_calls_total <> count(*) FILTER (WHERE e.type = 'agentos.tool.call.requested')`,
  'events stand in the order of their times': `
    SELECT run_id || '@' || sequence AS example FROM (
      SELECT run_id, sequence, time, lag(time) OVER (PARTITION BY tenant_id, run_id ORDER BY sequence) AS before FROM orchestrator.run_events) e
    WHERE e.time < e.before - interval '2 seconds'`,
};

export async function judge(url: string, options: JudgeOptions): Promise<Verdict> {
  return asJudge(url, async (client) => {
    const violations: string[] = [];
    for (const [rule, text] of Object.entries(MUST_BE_EMPTY)) {
      const { rows } = await client.query<{ example: string }>(text);
      if (rows.length > 0) violations.push(`${rule}: ${rows.length} times not, e.g. ${rows.slice(0, 3).map(({ example }) => example).join('; ')}`);
    }
    violations.push(...(await lostRuns(client, options)), ...(await oddLogs(client, options)));
    const { rows } = await client.query<{ runs: number; completed: number; failed: number; reclaims: number; errors: string[] | null }>(`
      SELECT count(*)::int AS runs, count(*) FILTER (WHERE status = 'completed')::int AS completed, count(*) FILTER (WHERE status = 'failed')::int AS failed,
        coalesce(sum(greatest(attempts - 1, 0)), 0)::int AS reclaims, (array_agg(error::text) FILTER (WHERE status = 'failed'))[1:3] AS errors
      FROM orchestrator.runs`);
    const { runs, completed, failed, reclaims, errors } = rows[0]!;
    if (failed > runs * (options.failedAtMost ?? 0)) violations.push(`runs do not fail: ${failed} of ${runs} did, e.g. ${(errors ?? []).join('; ')}`);
    return { violations, runs, completed, reclaims };
  });
}

async function lostRuns(client: pg.Client, { acknowledged }: JudgeOptions): Promise<string[]> {
  const rows = acknowledged.map(({ tenantId, runId, key }) => ({ tenant_id: tenantId, run_id: runId, key }));
  const { rows: lost } = await client.query<{ run_id: string }>(
    `SELECT a.run_id FROM json_to_recordset($1::json) AS a (tenant_id text, run_id text, key text)
     WHERE NOT EXISTS (SELECT FROM orchestrator.runs r WHERE r.tenant_id = a.tenant_id AND r.run_id = a.run_id AND r.idempotency_key = a.key)`,
    [JSON.stringify(rows)],
  );
  return lost.length === 0 ? [] : [`no acknowledged run is lost: ${lost.length} are, e.g. ${lost.slice(0, 3).map(({ run_id }) => run_id).join(', ')}`];
}

async function oddLogs(client: pg.Client, { log }: JudgeOptions): Promise<string[]> {
  if (log === undefined) return [];
  const { rows: odd } = await client.query<{ run_id: string; types: string[] }>(
    `SELECT r.run_id, array_agg(e.type ORDER BY e.sequence) AS types FROM orchestrator.runs r
     JOIN orchestrator.run_events e ON e.tenant_id = r.tenant_id AND e.run_id = r.run_id
     WHERE r.status = 'completed' GROUP BY r.tenant_id, r.run_id HAVING array_agg(e.type ORDER BY e.sequence) <> $1::text[] LIMIT 3`,
    [log],
  );
  return odd.length === 0 ? [] : [`every log tells the same story: ${odd.map(({ run_id, types }) => `${run_id}: ${types.join(' ')}`).join('; ')}`];
}

/** Runs that a worker of these names holds now; of any worker where none is named. */
export async function runsInFlight(url: string, workers: readonly string[] | null = null): Promise<number> {
  return asJudge(url, async (client) => {
    const { rows } = await client.query<{ held: number }>(
      "SELECT count(*)::int AS held FROM orchestrator.runs WHERE status = 'running' AND ($1::text[] IS NULL OR lease_owner = ANY ($1))",
      [workers],
    );
    return rows[0]!.held;
  });
}

async function unfinishedRuns(url: string): Promise<number> {
  return asJudge(url, async (client) => (await client.query<{ open: number }>("SELECT count(*)::int AS open FROM orchestrator.runs WHERE status IN ('queued', 'running')")).rows[0]!.open);
}

/** Waits while runs end, however slow the machine is; gives up when none has for `stalledMs`. The judge says what did not end. */
export async function untilAllEnded(url: string, stalledMs: number): Promise<void> {
  let fewest = Number.POSITIVE_INFINITY;
  let deadline = performance.now() + stalledMs;
  for (let open = await unfinishedRuns(url); open > 0 && performance.now() < deadline; open = await unfinishedRuns(url)) {
    if (open < fewest) [fewest, deadline] = [open, performance.now() + stalledMs];
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function asJudge<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: url, application_name: 'agentos-judge' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
