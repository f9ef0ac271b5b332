/** The SDK against a real node: the Appendix's payloads through its methods, streams, pages and errors. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ulid } from 'ulid';
import { AgentOS, ConflictError, isTerminalEvent, NotFoundError, PermissionDeniedError, RateLimitError } from '../../sdk/src/index.ts';
import type { ModelRequest, PolicyCheck, RunCreateRequest, TenantCreate } from '../../sdk/src/index.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { goldenPayload } from './golden.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
let agentos: AgentOS;
const clientFor = (tenantId: string, headers: Record<string, string> = {}): AgentOS => new AgentOS({
  tenantId, headers,
  endpoints: { agentOrchestrator: node.urls['agent-orchestrator'], modelPolicy: node.urls['model-policy'], federation: node.urls.federation },
});

beforeAll(async () => {
  node = await startNode();
  agentos = clientFor('tnt_demo');
});
afterAll(() => node?.close());

describe('golden payloads through the SDK', () => {
  it('D.1 makes a run', verifies(['PRS-4.2-02', 'PRS-4.3-05'], async () => {
    const request = { ...goldenPayload('D.1-run-create.request.json'), idempotency_key: `idem_${ulid()}` } as unknown as RunCreateRequest;
    const run = await agentos.runs.create('agt_review_summarizer_v1', request);
    const again = await agentos.runs.create('agt_review_summarizer_v1', request).withResponse();
    expect(again.data.run_id).toBe(run.run_id);
    expect(again.response.headers.get('idempotency-replayed')).toBe('true');
    expect((await agentos.runs.wait(run.run_id)).status).toBe('completed');
  }));

  it('E.1, E.3 and E.4 reach Model Policy', verifies(['PRS-6.2-08'], async () => {
    const request = (file: string) => (goldenPayload(file) as unknown as { request: ModelRequest }).request;
    expect((await agentos.models.invoke(request('E.1-model-invoke-chat.request.json'))).output).toMatchObject({ type: 'chat' });
    expect((await agentos.models.invoke(request('E.4-model-invoke-embed.request.json'))).output).toMatchObject({ type: 'embedding' });
    const check = (goldenPayload('E.3-policy-check.request.json') as unknown as { policy_check: PolicyCheck }).policy_check;
    expect((await agentos.models.checkPolicy(check)).decision).toBe('allowed');
    expect((await agentos.models.list()).length).toBeGreaterThan(0);
  }));

  it('C.3 makes a tenant', verifies(['PRS-15.4-01'], async () => {
    const golden = (goldenPayload('C.3-tenant-create.request.json') as unknown as { tenant_create: TenantCreate }).tenant_create;
    const admin = clientFor('tnt_demo', { 'x-scopes': 'tenants:admin' });
    const tenant = await admin.tenants.create({ ...golden, tenant_id: `tnt_s${ulid().toLowerCase()}` });
    expect(tenant).toMatchObject({ name: golden.name, status: 'active', quotas: golden.quotas });
    expect((await admin.tenants.update(tenant.tenant_id, { name: 'Other' })).name).toBe('Other');
    expect((await admin.tenants.suspend(tenant.tenant_id, 'invoice overdue')).status).toBe('suspended');
    expect((await admin.tenants.resume(tenant.tenant_id)).status).toBe('active');
    expect((await clientFor(tenant.tenant_id, {}).tenants.own()).tenant_id).toBe(tenant.tenant_id);
    expect(await admin.tenants.delete(tenant.tenant_id, { confirm: tenant.tenant_id })).toMatchObject({ deleted: tenant.tenant_id });
    expect((await admin.tenants.restore(tenant.tenant_id)).status).toBe('active');
  }));

  it('F.1 and F.2 describe the node', verifies(['PRS-7.2-01', 'PRS-7.2-02'], async () => {
    expect((await agentos.peers.info()).endpoints).toHaveProperty('agent-orchestrator_base_url');
    expect((await agentos.peers.capabilities()).supports.tenant_isolation).toBe(true);
  }));
});

describe('a run through the SDK', () => {
  it('streams every event once, in order, and ends with the terminal one', verifies(['PRS-4.2-06'], async () => {
    const run = await agentos.runs.create('agt_sample_echo_v1', 'hello');
    const sequences: number[] = [];
    let last = '';
    for await (const event of agentos.runs.events(run.run_id)) {
      sequences.push(event.sequence);
      last = event.type;
      if (isTerminalEvent(event)) expect(event.type).toBe('agentos.run.completed');
    }
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
    expect(last).toBe('agentos.run.completed');
    expect((await agentos.runs.get(run.run_id)).output?.text).toBeTruthy();
  }));

  it('walks all pages of a list', verifies(['PRS-4.3-15'], async () => {
    const tenant = await node.tenant();
    const mine = clientFor(tenant);
    const made = new Set<string>();
    for (let i = 0; i < 5; i += 1) made.add((await mine.runs.createAndWait('agt_x', `n${i}`)).run_id);
    const seen: string[] = [];
    for await (const run of mine.runs.list({ limit: 2 })) seen.push(run.run_id);
    expect(seen).toEqual([...made].reverse());
  }));

  it('throws a class a status, with the server\'s code', verifies(['PRS-4.3-09'], async () => {
    const run = await agentos.runs.createAndWait('agt_sample_echo_v1', 'hello');
    await expect(agentos.runs.cancel(run.run_id)).rejects.toThrow(ConflictError);
    await expect(agentos.runs.get('run_absent')).rejects.toMatchObject({ constructor: NotFoundError, code: 'not_found', status: 404, retryable: false });
    await expect(clientFor('tnt_absent').runs.get('run_x')).rejects.toMatchObject({ constructor: PermissionDeniedError, code: 'tenant_unknown' });
    const tenant = await node.tenant({ quotas: { runs: { run_create_qps: 0.001, run_create_burst: 1 } } });
    const limited = clientFor(tenant);
    await limited.runs.create('agt_x', 'one');
    await expect(limited.runs.create('agt_x', 'two', { maxRetries: 0 })).rejects.toMatchObject({ constructor: RateLimitError, code: 'rate_limited', retryable: true });
  }));
});
