/** Memory while Model Policy is away: what needs a vector says so, and nothing else is touched. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { call, type Call } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { verifies } from './verifies.ts';

const AO = 'agent-orchestrator';
let node: TestNode;
let lonely: TestNode;
beforeAll(async () => {
  node = await startNode({ services: ['model-policy', 'agent-orchestrator'] });
  lonely = await startNode({ services: ['agent-orchestrator'], database: node.database });
});
afterAll(async () => {
  await lonely?.close();
  await node?.close();
});

it('stores nothing that was to be embedded, and searches by words where the question leaves it open', verifies(['HLD-10.1-01'], async () => {
  const tenant = await node.tenant();
  const ask = (on: TestNode, path: string, options: Call = {}) => call(on.urls[AO], path, { tenant, ...options });
  const embedded = await ask(node, '/v1/memory/n/items/one', { method: 'PUT', body: { value: 'words that stay', embed: true } });
  expect([embedded.status, embedded.body.item?.embedded]).toEqual([201, true]);
  const refused = await ask(lonely, '/v1/memory/n/items/two', { method: 'PUT', body: { value: 'words that go', embed: true } });
  expect([refused.status, refused.body.error.code, refused.body.error.details.service]).toEqual([503, 'dependency_unavailable', 'model-policy']);
  expect((await ask(lonely, '/v1/memory/n/items/two')).status).toBe(404);
  expect((await ask(lonely, '/v1/memory/n/items/three', { method: 'PUT', body: { value: 'words without a vector' } })).status).toBe(201);
  const open = await ask(lonely, '/v1/memory/n:search', { body: { query: 'words stay' } });
  expect([open.status, open.body.mode, open.body.results.length]).toEqual([200, 'keyword', 1]);
  for (const mode of ['vector', 'hybrid']) {
    const named = await ask(lonely, '/v1/memory/n:search', { body: { query: 'words', mode } });
    expect([named.status, named.body.error?.code], mode).toEqual([503, 'dependency_unavailable']);
  }
}));
