/** Peer endpoints: the same answers on Agent Orchestrator and Federation, on every alias (PRS 7.2; C-05 to C-08). */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAuthority, stackCertificate } from '../harness/certificate.ts';
import { call, type Json } from '../harness/client.ts';
import { freePorts } from '../harness/free-port.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import type { ServiceName } from '../harness/prism.ts';
import { faultsOf, operationFor, operationsOf } from './operations.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
beforeAll(async () => {
  node = await startNode({ env: { AGENTOS_STACK_ID: 'stk_suite', AGENTOS_REGION: 'test-1', AGENTOS_ENVIRONMENT: 'test' } });
});
afterAll(() => node?.close());

const PLACES: Readonly<Record<string, ReadonlyArray<readonly [ServiceName, string]>>> = {
  peer: [['agent-orchestrator', '/v1/peer/info'], ['federation', '/v1/peer/info'], ['federation', '/v1/federation/peer']],
  capabilities: [['agent-orchestrator', '/v1/peer/capabilities'], ['federation', '/v1/peer/capabilities'], ['federation', '/v1/federation/peer/capabilities']],
};

async function answers(kind: string, of = node): Promise<Json[]> {
  const bodies: Json[] = [];
  for (const [service, path] of PLACES[kind]!) {
    const { status, body } = await call(of.urls[service], path);
    expect(status, `${service} ${path}: ${JSON.stringify(body)}`).toBe(200);
    expect(faultsOf(operationFor(service, 'GET', path)!, 200, body), `${service} ${path}`).toEqual([]);
    const { correlation_id: _, ...rest } = body;
    bodies.push(rest);
  }
  return bodies;
}

describe('peer information', () => {
  it('is the same wherever it is asked', verifies(['PRS-7.2-01', 'PRS-3.2-01'], async () => {
    const [first, ...others] = await answers('peer');
    for (const other of others) expect(other).toEqual(first);
    expect(first.peer).toMatchObject({ stack_id: 'stk_suite', region: 'test-1', environment: 'test', api_versions: ['v1'], build: { version: expect.stringMatching(/^1\.0\.2/) as string } });
    expect(first.peer.endpoints).toMatchObject({ 'agent-orchestrator_base_url': node.urls['agent-orchestrator'], 'model-policy_base_url': node.urls['model-policy'] });
  }));

  it('tells everywhere where other nodes are heard', verifies(['PRS-7.2-01'], async () => {
    const folder = mkdtempSync(join(tmpdir(), 'agentos-peers-'));
    const authority = await createAuthority('Peers');
    const { cert, key } = await stackCertificate(authority, 'stk_suite');
    for (const [name, text] of [['node.crt', cert], ['node.key', key], ['ca.pem', authority.cert]] as const) writeFileSync(join(folder, name), text, { mode: 0o600 });
    const [port] = (await freePorts(1)) as [number];
    const listening = await startNode({ env: { AGENTOS_STACK_ID: 'stk_suite', AGENTOS_FED_PEER_PORT: String(port), AGENTOS_FED_SERVER_CERT: join(folder, 'node.crt'), AGENTOS_FED_SERVER_KEY: join(folder, 'node.key'), AGENTOS_FED_CA_CERT: join(folder, 'ca.pem') } });
    try {
      for (const { peer } of await answers('peer', listening)) expect(peer.endpoints.federation_base_url).toBe(`https://127.0.0.1:${port}`);
    } finally {
      await listening.close();
      rmSync(folder, { recursive: true, force: true });
    }
  }));

  it('of capabilities is the same wherever it is asked, and true', verifies(['PRS-7.2-02', 'PRS-7.4-06'], async () => {
    const [first, ...others] = await answers('capabilities');
    for (const other of others) expect(other).toEqual(first);
    expect(first.capabilities.supports.runs_forward, 'nothing goes to other nodes without certificates').toBe(false);
    const streams = operationsOf.federation.find((row) => row.operationId === 'streamFederatedRunEvents')!;
    expect([first.capabilities.supports.events_stream, first.event_backhaul.mode], 'says what it can do now').toEqual(streams.planned ? [false, 'none'] : [true, 'sse']);
    expect(first.capabilities.supports.tenant_isolation).toBe(true);
    expect(first.capabilities.models.backends).toContain('builtin');
  }));
});
