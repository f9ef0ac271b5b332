/** Runs that ended long ago, in bulk: what a store looks like after some weeks. */
import type pg from 'pg';

const RUN_ID = `'run_01AAAAAA' || lpad(i::text, 18, '0')`;

/** Completed runs of one tenant with `eventsPerRun` events each, straight into the tables; analysed, as autovacuum would. */
export async function storeEndedRuns(client: pg.Client, options: { readonly tenantId: string; readonly agentId: string; readonly count: number; readonly eventsPerRun: number }): Promise<void> {
  const { tenantId, agentId, count, eventsPerRun } = options;
  if (count > 0) {
    await client.query(
      `INSERT INTO orchestrator.runs (tenant_id, run_id, agent_id, agent_version, status, created_at, started_at, completed_at, correlation_id, traceparent,
         principal_id, idempotency_key, request, work, steps_total, model_calls_total, output, last_seq, step, attempts, priority, queue_rank, available_at)
       SELECT $1, ${RUN_ID}, $2, '1', 'completed', t, t, t, 'corr_' || i, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'usr_bench', 'idem_' || i,
         '{"options":{"priority":"normal","timeoutMs":60000,"maxSteps":10,"streamEvents":true,"dryRun":false,"modelTier":null},"tooling":{"allowlist":null,"denylist":[]},"labels":{}}',
         '{"auth":{},"input":{"type":"text","text":"hello"},"context":{},"agent":{}}', 1, 1, '{"type":"text","text":"hello"}', $4, 2, 1, 1, i, t
       FROM generate_series(1, $3::int) AS i, LATERAL (SELECT now() - interval '1 day' + i * interval '1 millisecond' AS t) AS at`,
      [tenantId, agentId, count, eventsPerRun],
    );
    await client.query(
      `INSERT INTO orchestrator.run_events (tenant_id, run_id, sequence, event_id, type, time, span_id, payload)
       SELECT $1, ${RUN_ID}, s, 'evt_' || i || '_' || s, CASE WHEN s = $3::int THEN 'agentos.run.completed' ELSE 'agentos.model.requested' END,
         now() - interval '1 day', '00f067aa0ba902b7', '{"status":"completed"}'
       FROM generate_series(1, $2::int) AS i, generate_series(1, $3::int) AS s`,
      [tenantId, count, eventsPerRun],
    );
    await client.query(
      `INSERT INTO orchestrator.idempotency_keys (tenant_id, principal_id, agent_id, key, request_hash, run_id, created_at, expires_at)
       SELECT $1, 'usr_bench', $2, 'idem_' || i, repeat('a', 64), ${RUN_ID}, now(), now() + interval '1 day' FROM generate_series(1, $3::int) AS i`,
      [tenantId, agentId, count],
    );
  }
  await client.query('ANALYZE orchestrator.runs, orchestrator.run_events, orchestrator.idempotency_keys, orchestrator.tenant_runs');
}
