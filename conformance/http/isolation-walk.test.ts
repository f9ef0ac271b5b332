/** Every operation of the contract, walked as another tenant, as nobody, and with spent keys, in each mode: 0 leaks (PRS 13.9, 15). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkIsolation, type IsolationReport } from '../../scripts/lib/validation/isolation/isolation.ts';
import type { IsolationNode } from '../../scripts/lib/validation/isolation/node.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { isolationNode } from './isolation-node.ts';
import { operationsOf, serviceNames } from './operations.ts';
import { verifies } from './verifies.ts';

describe.each(['demo', 'dev', 'prod'] as const)('two tenants in %s', (mode) => {
  let node: TestNode;
  let report: IsolationReport;
  beforeAll(async () => {
    // The referee compiles its validators at each operation's first call, which a walk of all of them would spend minutes on.
    node = await startNode({ mode, env: { AGENTOS_CONTRACT_CHECK: 'off' } });
    report = await checkIsolation(await isolationNode(node, mode));
  }, 240_000);
  afterAll(() => node?.close());

  it('see nothing of each other in any answer', verifies(['PRS-13-09', 'PRS-3.1-05', 'PRS-11.2-02', 'PRS-11.1-06'], () => {
    expect(report.leaks).toEqual([]);
  }));

  it('were looked at in every operation', () => {
    expect(report.uncovered).toEqual([]);
    expect(report.failures).toEqual([]);
    const walked = new Set(report.operations.map(({ service, operation }) => `${service} ${operation}`));
    for (const service of serviceNames) for (const row of operationsOf[service]) expect(walked, row.operationId).toContain(`${service} ${row.operationId}`);
    expect(report.operations.reduce((sum, { checks }) => sum + checks, 0)).toBeGreaterThan(500);
  });

  it('made the node log nothing as its own fault', () => {
    expect(node.logLines.filter((line) => /"level":"?(error|50|fatal|60)/.test(line) && line.includes('"operation":'))).toEqual([]);
  });
});

describe('a node that leaks', () => {
  let node: TestNode;
  let report: IsolationReport;
  beforeAll(async () => {
    node = await startNode();
    report = await checkIsolation(leaking(await isolationNode(node, 'demo')));
  }, 240_000);
  afterAll(() => node?.close());

  it('is found out, operation by operation', () => {
    const leaked = new Set(report.leaks.map(({ operation }) => operation));
    for (const operation of ['getMemoryItem', 'listAgents', 'getMetrics', 'deleteWebhook', 'getRun', 'listUsageEntries', 'getOwnTenant']) expect(leaked, operation).toContain(operation);
    expect(leaked, 'and what does not leak is not blamed').not.toContain('getTool');
    expect(report.operations.find(({ operation }) => operation === 'getMemoryItem')?.outcome).toBe('leaked');
  });
});

/** The same node with holes: some requests of the second tenant are made as the first, some answers say too much. */
function leaking(node: IsolationNode): IsolationNode {
  const keys: string[] = [];
  const holes = [/^GET \/v1\/memory\/[^/]+\/items\//, /^GET \/v1\/agents(\?|$)/, /^DELETE \/v1\/webhooks\//, /^GET \/v1\/usage\/entries/];
  return {
    ...node,
    async ask(asked) {
      const [owner, stranger] = keys;
      const isStranger = stranger !== undefined && asked.headers['x-api-key'] === stranger && asked.headers['x-tenant-id'] === undefined;
      const open = isStranger && holes.some((hole) => hole.test(`${asked.method} ${asked.path}`));
      const reply = await node.ask(open ? { ...asked, headers: { 'x-api-key': owner! } } : asked);
      const secret = /\/keys$/.test(asked.path) && reply.status === 201 ? (JSON.parse(reply.text) as { secret: string }).secret : null;
      // The first two keys are those of the tenants' administrators.
      if (secret !== null && keys.length < 2) keys.push(secret);
      if (asked.path === '/metrics') return { ...reply, text: `${reply.text}\nruns_total{tenant_id="${await tenantOf(node, owner)}"} 1` };
      if (isStranger && /^\/v1\/runs\/run_[0-9A-Z]+$/.test(asked.path) && reply.status === 404 && (await exists(node, asked.path, owner!))) return { ...reply, status: 403 };
      if (isStranger && asked.path === '/v1/tenant') return { ...reply, headers: { ...reply.headers, 'x-neighbour': await tenantOf(node, owner) } };
      return reply;
    },
  };
}

async function tenantOf(node: IsolationNode, key: string | undefined): Promise<string> {
  if (key === undefined) return '';
  const reply = await node.ask({ service: 'agent-orchestrator', method: 'GET', path: '/v1/tenant', headers: { 'x-api-key': key } });
  return (JSON.parse(reply.text) as { tenant: { tenant_id: string } }).tenant.tenant_id;
}

async function exists(node: IsolationNode, path: string, key: string): Promise<boolean> {
  return (await node.ask({ service: 'agent-orchestrator', method: 'GET', path, headers: { 'x-api-key': key } })).status === 200;
}
