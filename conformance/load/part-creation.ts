/** Creation with 0, 10,000 and 200,000 stored runs: three databases with a node each, taking turns. */
import type { TestPostgres } from '../../scripts/lib/postgres/index.ts';
import { freshDatabase, withClient } from './databases.ts';
import type { Figure } from './figures.ts';
import { LoadClients, quantile } from './load-clients.ts';
import { seedDatabase, startNode, type NodeUnderTest } from './node-under-test.ts';
import type { PartOptions } from './part-throughput.ts';
import { storeEndedRuns } from './stored-runs.ts';

const STORED = [0, 10_000, 200_000] as const;
/** Short turns: a moment that is slow for one is slow for all. */
const TURN_MS = 500;

interface Contender {
  readonly stored: number;
  readonly node: NodeUnderTest;
  readonly clients: LoadClients;
  readonly createMs: number[];
}

export async function creation(postgres: TestPostgres, options: PartOptions): Promise<readonly Figure[]> {
  const contenders: Contender[] = [];
  try {
    for (const stored of STORED) {
      process.stderr.write(`creation: a node with ${stored} stored runs …\n`);
      const url = await freshDatabase(postgres.url, `bench_creation_${stored}`);
      seedDatabase(url);
      await withClient(url, (client) => storeEndedRuns(client, { tenantId: 'tnt_demo', agentId: 'agt_demo', count: stored, eventsPerRun: 4 }));
      const node = await startNode(url);
      contenders.push({ stored, node, clients: new LoadClients({ baseUrl: node.orchestratorUrl, tenantId: 'tnt_demo', agentId: 'agt_demo', connections: 1 }), createMs: [] });
    }
    await withClient(postgres.url, (client) => client.query('CHECKPOINT'));
    for (const { clients } of contenders) await clients.measure(1, options.warmUpMs);
    const turns = Math.ceil((options.rounds * options.windowMs) / TURN_MS);
    for (let turn = 0; turn < turns; turn += 1) {
      for (const { clients, createMs } of contenders) createMs.push(...(await clients.measure(1, TURN_MS)).createMs);
    }
  } finally {
    await Promise.all(contenders.map(({ clients }) => clients.close()));
    await Promise.all(contenders.map(({ node }) => node.stop()));
  }
  const p50 = contenders.map(({ stored, createMs }) => ({ stored, value: quantile([...createMs].sort((a, b) => a - b), 0.5) }));
  const empty = p50[0]!.value;
  return [
    ...p50.map(({ stored, value }) => ({ name: `create_p50_${stored}_stored`, value, unit: 'ms' })),
    ...p50.slice(1).map(({ stored, value }): Figure => ({ name: `create_${stored}_to_empty`, value: value / empty, unit: '×', goal: { atMost: 1.1 } })),
  ];
}
