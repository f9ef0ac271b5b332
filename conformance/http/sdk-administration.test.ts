/** The SDK against a real node with keys as the only credentials: who may act, what they did, and what the node serves. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ulid } from 'ulid';
import { AgentOS, AuthenticationError, ConflictError, NotFoundError, PermissionDeniedError } from '../../sdk/src/index.ts';
import type { AuditRecord } from '../../sdk/src/index.ts';
import { parseExportLine } from '../../services/platform/audit/audit-record.ts';
import { verifyChain } from '../../services/platform/audit/verify.ts';
import { storeKeys } from '../harness/keys.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
let operator: AgentOS;
const holding = (apiKey: string): AgentOS =>
  new AgentOS({ apiKey, endpoints: { agentOrchestrator: node.urls['agent-orchestrator'], modelPolicy: node.urls['model-policy'], federation: node.urls.federation } });

beforeAll(async () => {
  node = await startNode({ mode: 'dev' });
  const [key] = await storeKeys(node.database.url, [{ principalId: 'usr_operator', scopes: [], roles: ['platform_operator'] }]);
  operator = holding(key!);
});
afterAll(() => node?.close());

/** A tenant and its administrator's client, made by the operator. */
async function newTenant(): Promise<{ readonly tenantId: string; readonly admin: AgentOS }> {
  const { tenant_id: tenantId } = await operator.tenants.create({ tenant_id: `tnt_s${ulid().toLowerCase()}`, name: 'Acme' });
  await operator.tenants.principals.put(tenantId, 'usr_ada', { principal_type: 'user', display_name: 'Ada', roles: ['tenant_admin'] });
  const { secret } = await operator.tenants.keys.create(tenantId, { principal_id: 'usr_ada' });
  return { tenantId, admin: holding(secret!) };
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

describe('principals and keys', () => {
  it('of any tenant, by the operator', verifies(['PRS-15.4-03', 'PRS-10.1-07'], async () => {
    const { tenantId, admin } = await newTenant();
    const { principals, keys } = operator.tenants;
    await principals.put(tenantId, 'svc_orders', { principal_type: 'service', roles: ['tenant_service'] });
    expect((await all(principals.list(tenantId, { limit: 1 }))).map(({ principal_id }) => principal_id)).toEqual(['svc_orders', 'usr_ada']);
    expect(await principals.get(tenantId, 'usr_ada')).toMatchObject({ display_name: 'Ada', roles: ['tenant_admin'] });
    const first = await keys.create(tenantId, { principal_id: 'svc_orders', name: 'orders' });
    const second = await keys.rotate(tenantId, first.key.key_id, { overlap_seconds: 600 });
    expect((await all(keys.list(tenantId, { principalId: 'svc_orders', limit: 1 }))).map(({ key_id, replaced_by }) => [key_id, replaced_by])).toEqual([[first.key.key_id, second.key.key_id], [second.key.key_id, null]]);
    expect((await keys.revoke(tenantId, first.key.key_id)).status).toBe('revoked');
    expect(await all(holding(second.secret!).agents.list())).toEqual(expect.any(Array));
    expect(await principals.delete(tenantId, 'svc_orders')).toMatchObject({ deleted: 'svc_orders', keys_revoked: 1 });
    await expect(principals.get(tenantId, 'svc_orders')).rejects.toBeInstanceOf(NotFoundError);
    await expect(admin.tenants.principals.get(tenantId, 'usr_ada')).rejects.toBeInstanceOf(PermissionDeniedError);
  }));

  it('of a tenant, by its own administrator; a repeated request finds the secret until the key was used, and a revoked key is refused', verifies(['PRS-10.1-04', 'PRS-15.4-03'], async () => {
    const { tenantId, admin } = await newTenant();
    expect(await admin.principals.put('usr_bob', { principal_type: 'user', roles: ['tenant_user'] })).toMatchObject({ tenant_id: tenantId, display_name: 'usr_bob' });
    expect((await all(admin.principals.list({ limit: 1 }))).map(({ principal_id }) => principal_id)).toEqual(['usr_ada', 'usr_bob']);
    await expect(admin.principals.put('usr_eve', { principal_type: 'user', roles: ['platform_operator'] })).rejects.toBeInstanceOf(PermissionDeniedError);
    const options = { idempotencyKey: `idem_${ulid()}` };
    const issued = await admin.keys.create({ principal_id: 'usr_bob', expires_in_days: 1 }, options);
    const again = await admin.keys.create({ principal_id: 'usr_bob', expires_in_days: 1 }, options).withResponse();
    expect([again.data.key.key_id, again.data.secret, again.response.headers.get('idempotency-replayed')]).toEqual([issued.key.key_id, issued.secret, 'true']);
    const bob = holding(issued.secret!);
    await expect(bob.keys.list()).rejects.toMatchObject({ constructor: PermissionDeniedError, details: { missing_scopes: ['keys:read'] } });
    await expect.poll(async () => (await admin.keys.create({ principal_id: 'usr_bob', expires_in_days: 1 }, options)).secret, { timeout: 10_000 }).toBeUndefined();
    const renewed = await admin.keys.rotate(issued.key.key_id);
    expect(renewed.secret).not.toBe(issued.secret);
    await expect(admin.keys.rotate(issued.key.key_id)).rejects.toMatchObject({ constructor: ConflictError, details: { reason: 'key_replaced' } });
    expect((await admin.keys.revoke(issued.key.key_id)).status).toBe('revoked');
    await expect.poll(() => bob.agents.list().then(() => null, (error: unknown) => error), { timeout: 10_000 }).toBeInstanceOf(AuthenticationError);
    expect((await all(admin.keys.list({ principalId: 'usr_bob' }))).map(({ status }) => status)).toEqual(['revoked', 'active']);
    expect(await admin.principals.delete('usr_bob')).toMatchObject({ keys_revoked: 1 });
  }));
});

describe('the audit trail', () => {
  it('is walked page by page, filtered, and exported as the text that its hashes were made of', verifies(['PRS-10.3-01', 'PRS-10.3-05'], async () => {
    const { tenantId, admin } = await newTenant();
    for (let index = 0; index < 3; index += 1) await admin.keys.create({ principal_id: 'usr_ada', name: `k${index}` });
    const actions = (records: readonly AuditRecord[]) => records.map(({ action }) => action);
    const own = { service: 'agent-orchestrator' };
    const listed = await all(admin.audit.list({ ...own, limit: 2 }));
    expect(actions(listed)).toEqual(['key.create', 'key.create', 'key.create', 'key.create', 'principal.put', 'tenant.create']);
    expect(await all(admin.audit.export(own))).toEqual([...listed].reverse());
    expect(actions(await all(admin.audit.list({ action: 'key.create', principalId: 'usr_ada', limit: 1 })))).toHaveLength(3);
    const lines = (await all(admin.audit.exportLines(own))).map((line) => parseExportLine(line)!);
    expect(await verifyChain({ name: lines[0]!.name, records: lines.map(({ record }) => record) })).toMatchObject({ records: 6, faults: [] });
    expect(actions(await all(operator.audit.export({ ...own, tenantId, action: 'principal.put' })))).toEqual(['principal.put']);
    await expect(admin.audit.export({ tenantId: 'tnt_demo' }).next()).rejects.toMatchObject({ constructor: PermissionDeniedError, details: { missing_scopes: ['audit:read-all'] } });
  }));

  it('may be left in the middle, or aborted', async () => {
    const { admin } = await newTenant();
    for await (const record of admin.audit.export()) {
      expect(record.sequence).toBe(1);
      break;
    }
    const controller = new AbortController();
    const records = admin.audit.export({}, { signal: controller.signal });
    await records.next();
    controller.abort(new Error('no longer wanted'));
    await expect(records.next()).rejects.toThrow('no longer wanted');
  });
});

describe('what the node serves', () => {
  it('a model by its id, in the shapes of the OpenAI API too', verifies(['PRS-6.1-01'], async () => {
    const { admin } = await newTenant();
    const models = await admin.models.list();
    const chat = models.find(({ capabilities }) => capabilities.includes('chat'))!;
    const embedder = models.find(({ capabilities }) => capabilities.includes('embed'))!;
    expect(await admin.models.retrieve(chat.model_id)).toEqual(chat);
    await expect(admin.models.retrieve('no/such:model')).rejects.toBeInstanceOf(NotFoundError);
    const request = { model: chat.model_id, messages: [{ role: 'user' as const, content: 'hello' }] };
    const answer = (await admin.openai.chat(request)).choices[0]!.message.content;
    const streamed = await all(admin.openai.streamChat(request));
    expect(streamed.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(answer);
    expect((await admin.openai.embed({ model: embedder.model_id, input: ['a', 'b'] })).data).toHaveLength(2);
    await expect(admin.openai.streamChat({ ...request, model: 'no-such-model' }).next()).rejects.toBeInstanceOf(NotFoundError);
  }));

  it('its routing to the operator alone, and its peers', async () => {
    const { admin } = await newTenant();
    const catalogue = await operator.routing.get();
    expect(catalogue.models.length).toBeGreaterThan(0);
    expect((await operator.routing.reload()).models.map(({ id }) => id)).toEqual(catalogue.models.map(({ id }) => id));
    expect(await operator.routing.canaries()).toEqual([]);
    await expect(operator.routing.rollBackCanary('none')).rejects.toBeInstanceOf(NotFoundError);
    await expect(admin.routing.get()).rejects.toBeInstanceOf(PermissionDeniedError);
    expect(await admin.peers.list()).toEqual([]);
  });
});
