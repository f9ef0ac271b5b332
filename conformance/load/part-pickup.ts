/**
 * Pickup with an idle queue: from the creation of a run to its claim, by the database's clock, as the run row tells it.
 * In one process a run is handed over as it is created; here serving and working are processes of their own, so the
 * time is that of the hint between them and of the claim.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import type { TestPostgres } from '../../scripts/lib/postgres/index.ts';
import { freshDatabase, withClient } from './databases.ts';
import type { Figure } from './figures.ts';
import { quantile } from './load-clients.ts';
import { seedDatabase, startNode } from './node-under-test.ts';

const RUNS = 150;
const PAUSE_MS = 40;

export async function pickup(postgres: TestPostgres): Promise<readonly Figure[]> {
  process.stderr.write('pickup: an API process and a worker process …\n');
  const url = await freshDatabase(postgres.url, 'bench_pickup');
  seedDatabase(url);
  const node = await startNode(url, { workers: 1 });
  const http = new Pool(node.orchestratorUrl, { connections: 1 });
  try {
    for (let run = 0; run < RUNS; run += 1) {
      const created = await http.request({ method: 'POST', path: '/v1/agents/agt_demo/runs', headers: { 'content-type': 'application/json', 'x-tenant-id': 'tnt_demo' }, body: '{"input":"hello"}' });
      const text = await created.body.text();
      if (created.statusCode !== 201) throw new Error(`create answered ${created.statusCode}: ${text}`);
      await sleep(PAUSE_MS);
    }
    await sleep(1_000);
    const waited = await withClient(url, async (client) => {
      const { rows } = await client.query<{ ms: number }>(
        `SELECT (extract(epoch FROM started_at - created_at) * 1000)::float8 AS ms FROM orchestrator.runs WHERE started_at IS NOT NULL ORDER BY run_id OFFSET 10`,
      );
      return rows.map((row) => row.ms).sort((a, b) => a - b);
    });
    if (waited.length < RUNS - 10) throw new Error(`Only ${waited.length} of ${RUNS} runs were picked up.`);
    return [
      { name: 'pickup_p50', value: quantile(waited, 0.5), unit: 'ms', goal: { atMost: 5 } },
      { name: 'pickup_p99', value: quantile(waited, 0.99), unit: 'ms' },
    ];
  } finally {
    await http.close();
    await node.stop();
  }
}
