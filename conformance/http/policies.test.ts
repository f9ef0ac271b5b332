/** Rule sets over HTTP: how a tenant keeps them, and that the next call is held to them (PRS 6.3, 15.3). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../services/platform/ids.ts';
import { call, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
const MP = 'model-policy';
const CARD = '4111 1111 1111 1111';
beforeAll(async () => {
  node = await startNode({ services: ['model-policy', 'agent-orchestrator'] });
});
afterAll(() => node?.close());

const mp = (path: string, options: Parameters<typeof call>[2] = {}) => call(node.urls[MP], path, options);
const put = (tenant: string, policyId: string, body: unknown) => mp(`/v1/policies/${policyId}`, { method: 'PUT', tenant, body });
const chat = (tenant: string, text: string, more: Json = {}, auth?: Json) => mp('/v1/models:invoke', {
  tenant, body: { ...(auth === undefined ? {} : { auth }), request: { request_id: newId('req'), operation: 'chat', model_ref: 'tier:balanced', input: { messages: [{ role: 'user', content: text }], ...more } } },
});
/** A tenant whose calls are held to these rules. */
async function held(rules: readonly Json[], more: Json = {}): Promise<string> {
  const tenant = await node.tenant({ default_policy_id: 'pol_own', ...more });
  const { status, body } = await put(tenant, 'pol_own', { rules });
  expect(status, JSON.stringify(body)).toBe(201);
  return tenant;
}

describe('rule sets', () => {
  it('are created, read, listed, replaced and deleted', verifies(['PRS-6.3-03'], async () => {
    const tenant = await node.tenant({});
    const rules = [{ id: 'cards', kind: 'pii', types: ['card'], action: 'block', direction: 'both' }, { id: 'small', kind: 'max_tokens', max: 9_000 }];
    const created = await put(tenant, 'pol_team', { description: 'Ours', rules });
    expect([created.status, created.body.policy]).toEqual([201, { policy_id: 'pol_team', version: 1, source: 'tenant', description: 'Ours', rules, updated_at: expect.any(String) as string }]);
    expect(faultsOf(operation(MP, 'putPolicy'), 201, created.body)).toEqual([]);
    expect((await mp('/v1/policies/pol_team', { tenant })).body.policy).toEqual(created.body.policy);
    const listed = await mp('/v1/policies', { tenant });
    expect(listed.body.policies.map((policy: Json) => [policy.policy_id, policy.source])).toEqual([['pol_default', 'node'], ['pol_team', 'tenant']]);
    expect(faultsOf(operation(MP, 'listPolicies'), 200, listed.body)).toEqual([]);
    expect([(await put(tenant, 'pol_team', { rules: [], version: 1 })).status, (await put(tenant, 'pol_team', { rules, version: 1 })).status]).toEqual([200, 409]);
    expect((await mp('/v1/policies/pol_team', { method: 'DELETE', tenant })).status).toBe(204);
    expect((await mp('/v1/policies/pol_team', { tenant })).status).toBe(404);
  }));

  it('belong to one tenant', verifies(['PRS-15.2-02'], async () => {
    const [owner, stranger] = [await node.tenant({}), await node.tenant({})];
    await put(owner, 'pol_mine', { rules: [] });
    expect((await mp('/v1/policies/pol_mine', { tenant: stranger })).status).toBe(404);
    expect((await mp('/v1/policies/pol_mine', { method: 'DELETE', tenant: stranger })).status).toBe(404);
    expect((await mp('/v1/policies', { tenant: stranger })).body.policies.map((policy: Json) => policy.policy_id)).toEqual(['pol_default']);
  }));

  it.each([
    ['an unknown member', { rules: [{ id: 'a', kind: 'pii', types: ['card'], action: 'redact', directoin: 'both' }] }, '/rules/0/directoin'],
    ['an unknown kind', { rules: [{ id: 'a', kind: 'vibes' }] }, '/rules/0/kind'],
    ['an unknown type of personal data', { rules: [{ id: 'a', kind: 'pii', types: ['shoe_size'], action: 'redact' }] }, '/rules/0/types'],
    ['an id that stands twice', { rules: [{ id: 'a', kind: 'max_tokens', max: 1 }, { id: 'a', kind: 'max_tokens', max: 2 }] }, '/rules/1/id'],
    ['an unknown member beside the rules', { rules: [], rulez: [] }, '/rulez'],
  ])('are refused with %s, and told where', async (_name, body, path) => {
    const answer = await put(await node.tenant({}), 'pol_bad', body);
    expect([answer.status, answer.body.error?.code]).toEqual([400, 'invalid_request']);
    expect(answer.body.error.details.errors.map((each: Json) => each.path)).toContain(path);
  });

  it('cannot be deleted while calls are held to them', async () => {
    const tenant = await held([]);
    const { status, body } = await mp('/v1/policies/pol_own', { method: 'DELETE', tenant });
    expect([status, body.error.details.reason]).toEqual([409, 'policy_in_use']);
  });
});

describe('a call is held to its rule set', () => {
  it('from the answer of the change on', verifies(['PRS-6.2-07', 'PRS-6.2-02', 'HLD-6.2-01'], async () => {
    const tenant = await held([{ id: 'cards', kind: 'pii', types: ['card'], action: 'redact' }]);
    const redacted = await chat(tenant, `my card is ${CARD}`);
    expect(redacted.body.response.policy_outcome).toMatchObject({ decision: 'redacted', reasons: ['pii.card.redacted', 'rule:cards'], redactions: [{ type: 'card', place: '/input/messages/0/content', count: 1 }] });
    await put(tenant, 'pol_own', { rules: [{ id: 'cards', kind: 'pii', types: ['card'], action: 'block' }] });
    const blocked = await chat(tenant, `my card is ${CARD}`);
    expect([blocked.status, blocked.body.error?.code, blocked.body.policy_outcome?.reasons]).toEqual([403, 'policy_blocked', ['pii.card.blocked', 'rule:cards']]);
    expect(JSON.stringify(blocked.body)).not.toContain('4111');
  }));

  it('for models and their attributes', verifies(['PRS-6.3-03', 'PRS-15.3-05'], async () => {
    const denied = await chat(await held([{ id: 'none', kind: 'models', deny: ['tier:balanced'] }]), 'hello');
    expect([denied.status, denied.body.error.details.reason]).toEqual([403, 'model_denied']);
    const tenant = await held([{ id: 'eu', kind: 'attributes', when: { data_classification: ['confidential'] }, require: { region: ['eu-west-1'] } }]);
    const auth = (data_classification: string): Json => ({ tenant_id: tenant, principal: { principal_id: 'usr_x', principal_type: 'user' }, scopes: [], policy_context: { data_classification } });
    expect((await chat(tenant, 'hello', {}, auth('public'))).status).toBe(200);
    const refused = await chat(tenant, 'hello', {}, auth('confidential'));
    expect([refused.status, refused.body.error.details.reason]).toEqual([403, 'region_not_allowed']);
  }));

  it('for tools that are offered', verifies(['PRS-6.3-04'], async () => {
    const tools = [{ tool_id: 'tool.shell.run', name: 'shell_run', input_schema: { type: 'object' } }];
    const byRule = await chat(await held([{ id: 'no-shell', kind: 'tools', deny: ['tool.shell.*'] }]), 'hello', { tools });
    expect([byRule.status, byRule.body.policy_outcome?.reasons]).toEqual([403, ['tool_denied', 'rule:no-shell']]);
    const entitled = await node.tenant({ entitlements: { tool_ids_allowed: ['tool.echo'] } });
    const byPlan = await chat(entitled, 'hello', { tools });
    expect([byPlan.status, byPlan.body.error?.details.reason]).toEqual([403, 'tool_not_entitled']);
    expect((await chat(entitled, 'hello', { tools: [{ ...tools[0], tool_id: 'tool.echo', name: 'echo' }] })).status).toBe(200);
  }));

  it('for the tokens of a call, and for terms', verifies(['PRS-6.3-05'], async () => {
    const long = await chat(await held([{ id: 'small', kind: 'max_tokens', max: 20 }]), 'word '.repeat(200));
    expect([long.status, long.body.policy_outcome?.reasons]).toEqual([403, ['max_tokens_per_request_exceeded', 'rule:small']]);
    const term = await chat(await held([{ id: 'names', kind: 'terms', terms: ['project nightingale'], action: 'block' }]), 'about Project  NIGHTINGALE please');
    expect([term.status, term.body.policy_outcome?.reasons]).toEqual([403, ['denied_term', 'rule:names']]);
  }));

  it('in a stream too, before any of the finding is out', verifies(['PRS-6.2-07'], async () => {
    const tenant = await held([{ id: 'cards', kind: 'pii', types: ['card'], action: 'redact', direction: 'response' }]);
    const { body } = await mp('/v1/models:invoke', {
      tenant, headers: { accept: 'text/event-stream' },
      body: { stream: true, request: { request_id: newId('req'), operation: 'chat', model_ref: 'tier:balanced', input: { messages: [{ role: 'user', content: `please repeat: ${CARD}` }] } } },
    });
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    expect(text).toContain('model.completed');
    expect(text).toContain('[redacted:card]');
    // Ids and traces are random, and the four digits that the card begins with happen in them.
    expect(text.replaceAll(/"(\w*id|traceparent)\\*":\s*\\*"[^"]*"/g, '')).not.toContain('4111');
  }));

  it('for texts to embed', async () => {
    const tenant = await held([{ id: 'cards', kind: 'pii', types: ['card'], action: 'redact' }]);
    const { body } = await mp('/v1/models:invoke', { tenant, body: { request: { request_id: newId('req'), operation: 'embed', model_ref: 'builtin-embed-1', input: { texts: ['fine', `card ${CARD}`] } } } });
    expect(body.response.policy_outcome.redactions).toEqual([{ type: 'card', place: '/input/texts/1', count: 1 }]);
  });
});
