/** Finding runs: filters, cursors and order over HTTP. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, untilEnded, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
let tenant: string;
const ids: string[] = [];
const ao = (): string => node.urls['agent-orchestrator'];
const TEAMS = ['growth', 'growth', 'core'];

beforeAll(async () => {
  node = await startNode();
  tenant = await node.tenant();
  await node.agent(tenant, { agentId: 'agt_a', tools: [] });
  await node.agent(tenant, { agentId: 'agt_b', tools: [] });
  for (let i = 0; i < 6; i += 1) {
    const body = { input: `run ${i}`, context: { labels: { team: TEAMS[i % 3], 'odd:key': 'x', n: String(i) } }, run_options: { priority: i === 5 ? 'high' : 'normal' } };
    const answer = await call(ao(), `/v1/agents/${i < 4 ? 'agt_a' : 'agt_b'}/runs`, { body, tenant });
    ids.push(answer.body.run.run_id as string);
    await untilEnded(ao(), ids[i]!, { tenant });
  }
});
afterAll(() => node?.close());

async function list(query: string, path = '/v1/runs'): Promise<Json> {
  const { status, body } = await call(ao(), `${path}${query}`, { tenant });
  expect(status, JSON.stringify(body)).toBe(200);
  expect(faultsOf(operation('agent-orchestrator', 'listRuns'), 200, body)).toEqual([]);
  return body;
}
/** Places in `ids`, in the order of the answer. */
const found = async (query: string, path?: string): Promise<number[]> => ((await list(query, path)).runs as Json[]).map((run) => ids.indexOf(run.run_id as string));

describe('the list of runs', () => {
  it('comes newest first, or oldest where that is asked for', verifies(['PRS-4.3-15'], async () => {
    expect(await found('')).toEqual([5, 4, 3, 2, 1, 0]);
    expect(await found('?order=oldest')).toEqual([0, 1, 2, 3, 4, 5]);
  }));

  it('goes on from a cursor in either order, without gap or repeat', async () => {
    for (const order of ['newest', 'oldest']) {
      const seen: string[] = [];
      for (let after = ''; ;) {
        const page = await list(`?order=${order}&limit=4${after}`);
        seen.push(...(page.runs as Json[]).map((run) => run.run_id as string));
        if (!page.has_more) break;
        after = `&after=${seen.at(-1)}`;
      }
      expect(seen).toEqual(order === 'oldest' ? ids : [...ids].reverse());
    }
  });

  it('is narrowed by agent, status, priority and time', async () => {
    expect(await found('?agent_id=agt_b')).toEqual([5, 4]);
    expect(await found('', '/v1/agents/agt_a/runs')).toEqual([3, 2, 1, 0]);
    expect(await found('?status=completed&limit=2')).toEqual([5, 4]);
    expect(await found('?status=failed&status=completed&limit=1')).toEqual([5]);
    expect(await found('?status=queued&status=running&status=failed&status=canceled')).toEqual([]);
    expect(await found('?priority=high')).toEqual([5]);
    const times = await Promise.all(ids.map(async (id) => (await call(ao(), `/v1/runs/${id}`, { tenant })).body.run.created_at as string));
    expect(await found(`?created_after=${times[4]}`)).toEqual([5, 4]);
    expect(await found(`?created_before=${times[2]}`)).toEqual([1, 0]);
    expect(await found(`?created_after=${times[1]}&created_before=${times[3]}&order=oldest`)).toEqual([1, 2]);
    expect(await found('?created_after=2000-01-01T00:00:00Z&created_before=2000-01-02T00:00:00Z')).toEqual([]);
    expect(await found('?created_after=2999-01-01T00:00:00Z')).toEqual([]);
  });

  it('is narrowed by labels, all of which must hold', async () => {
    expect(await found('?label=team:growth')).toEqual([4, 3, 1, 0]);
    expect(await found('?label=team:growth&label=n:3')).toEqual([3]);
    expect(await found('?label=team:growth&label=team:core')).toEqual([]);
    expect(await found('?label=team:growth&agent_id=agt_a&order=oldest&limit=2')).toEqual([0, 1]);
    expect(await found(`?label=team:growth&after=${ids[3]}`)).toEqual([1, 0]);
    expect(await found('?label=team:nobody')).toEqual([]);
    expect(await found('?label=team:growth', '/v1/agents/agt_b/runs')).toEqual([4]);
  });

  it('is narrowed by the run that called', async () => {
    expect(await found(`?parent_run_id=${ids[0]}`)).toEqual([]);
  });

  it('refuses what is no filter', async () => {
    for (const query of ['?status=done', '?label=nocolon', '?created_after=yesterday', '?order=up', '?priority=urgent', '?limit=0']) {
      expect((await call(ao(), `/v1/runs${query}`, { tenant })).status, query).toBe(400);
    }
  });

  it('shows no other tenant’s runs', verifies(['PRS-13-09'], async () => {
    const stranger = await node.tenant();
    for (const query of ['', '?label=team:growth', '?agent_id=agt_a', '?status=completed']) expect((await call(ao(), `/v1/runs${query}`, { tenant: stranger })).body.runs).toEqual([]);
  }));
});
