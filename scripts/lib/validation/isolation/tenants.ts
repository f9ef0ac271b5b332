/** Two tenants for the isolation check: with keys of every kind, one of them full of things, both taken away afterwards. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceName } from '../../services/catalog.ts';
import { must } from '../checks.ts';
import { jsonOf, type IsolationNode, type Reply } from './node.ts';

const AO = 'agent-orchestrator';
const MP = 'model-policy';
const RUN_TIMEOUT_MS = 30_000;
/** What the walk needs, and no more than a node can give. */
const QUOTAS = { runs: { max_concurrent_runs: 200, run_create_qps: 200, run_create_burst: 400 } };

export interface TestTenant {
  readonly tenantId: string;
  /** A key that may do everything within the tenant. */
  readonly admin: string;
  /** Stands in every text of the tenant's: where anyone else reads it, something has leaked. */
  readonly mark: string;
}

export interface SpentKeys {
  readonly expired: string;
  readonly revoked: string;
  /** Good keys that hold one scope each. */
  readonly narrow: ReadonlyArray<{ readonly scope: string; readonly secret: string }>;
}

/** What one tenant has, by the name that the contract gives its identifier. None is the mark itself, which must stay unsaid. */
export type Holdings = Readonly<Record<string, string>>;

export async function makeTenant(node: IsolationNode, name: string): Promise<TestTenant> {
  const mark = `iso${name}${randomBytes(6).toString('hex')}`;
  const tenantId = `tnt_${mark}`;
  await admin(node, 'POST', '/v1/admin/tenants', { tenant_id: tenantId, name: `Made and removed by agentos validate ${mark}`, plan_tier: 'standard', quotas: QUOTAS }, [201]);
  return { tenantId, admin: await issueKey(node, tenantId, `usr_${mark}`, { roles: ['tenant_admin'] }), mark };
}

/** Asks for the deletion without a time of grace: the node purges it at its next look, seconds from now. */
export async function removeTenant(node: IsolationNode, { tenantId }: Pick<TestTenant, 'tenantId'>): Promise<void> {
  await admin(node, 'DELETE', `/v1/admin/tenants/${tenantId}?confirm=${tenantId}&grace_hours=0`, undefined, [200]);
}

/** Keys of `tenant` that must open nothing, or very little. */
export async function makeSpentKeys(node: IsolationNode, { tenantId, mark }: TestTenant): Promise<SpentKeys> {
  const principalId = `usr_${mark}`;
  const expiresAt = new Date(Date.now() + 1_500);
  const expired = await issueKey(node, tenantId, principalId, { roles: ['tenant_admin'], expires_at: expiresAt.toISOString() });
  const revoked = await issueKey(node, tenantId, principalId, { roles: ['tenant_admin'] }, true);
  const narrow = [];
  for (const scope of ['usage:read', 'policy:check']) narrow.push({ scope, secret: await issueKey(node, tenantId, principalId, { scopes: [scope] }) });
  // A key is remembered for up to a second by whoever has just seen it.
  await sleep(Math.max(0, expiresAt.getTime() - Date.now()) + 1_200);
  return { expired, revoked, narrow };
}

async function issueKey(node: IsolationNode, tenantId: string, principalId: string, key: Readonly<Record<string, unknown>>, revoke = false): Promise<string> {
  await admin(node, 'PUT', `/v1/admin/tenants/${tenantId}/principals/${principalId}`, { principal_type: 'user', display_name: `Of ${tenantId}`, roles: ['tenant_admin'] }, [200, 201]);
  const made = jsonOf(await admin(node, 'POST', `/v1/admin/tenants/${tenantId}/keys`, { principal_id: principalId, name: 'agentos validate', ...key }, [201]))!;
  const keyId = (made['key'] as { key_id: string }).key_id;
  if (revoke) await admin(node, 'DELETE', `/v1/admin/tenants/${tenantId}/keys/${keyId}`, undefined, [200]);
  return made['secret'] as string;
}

async function admin(node: IsolationNode, method: string, path: string, body: unknown, expected: readonly number[]): Promise<Reply> {
  const reply = await node.ask({ service: AO, method, path, headers: await node.operator(AO), ...(body === undefined ? {} : { body }) });
  must(expected.includes(reply.status), `${method} ${path.replace(/\?.*/, '')} answers ${reply.status} to the operator: ${reply.text.slice(0, 300)}`);
  return reply;
}

/** Gives a tenant one of everything that a tenant can have. @throws when something cannot be made: the check would prove nothing. */
export async function fillTenant(node: IsolationNode, tenant: TestTenant): Promise<Holdings> {
  const { mark } = tenant;
  const make = async (service: ServiceName, method: string, path: string, body?: unknown): Promise<Readonly<Record<string, unknown>>> => {
    const reply = await node.ask({ service, method, path, headers: asKey(tenant.admin), ...(body === undefined ? {} : { body }) });
    must(reply.status >= 200 && reply.status < 300, `${method} ${path} answers ${reply.status} to the tenant's own administrator: ${reply.text.slice(0, 300)}`);
    return jsonOf(reply) ?? {};
  };
  const agentId = `agt_${mark}`;
  await make(AO, 'POST', '/v1/agents', { agent_id: agentId, name: `Agent ${mark}`, description: mark, instructions: `Call the tool echo (tool.echo) once with the text of the user. ${mark}`, model_ref: 'tier:balanced', tools: ['tool.echo'] });
  const webhook = await make(AO, 'POST', '/v1/webhooks', { url: `https://hooks.example.com/${mark}`, event_types: ['agentos.run.completed'], description: mark });
  // Answers about tools name them in other forms as well, so the id must not hold the mark.
  const toolId = `tool.t${randomBytes(6).toString('hex')}.lookup`;
  await make(AO, 'POST', '/v1/tools', { tool_id: toolId, name: mark, description: mark, input_schema: { type: 'object' }, side_effects: false, webhook: { url: `https://tools.example.com/${mark}` } });
  await make(AO, 'POST', '/v1/mcp-servers', { server_id: `srv${mark}`, transport: { type: 'streamable_http', url: `https://mcp.example.com/${mark}` } });
  await make(AO, 'PUT', `/v1/memory/ns-${mark}/items/key-${mark}`, { value: { text: mark }, metadata: { topic: mark } });
  await make(MP, 'PUT', `/v1/policies/pol_${mark}`, { description: mark, rules: [{ id: 'small', kind: 'max_tokens', max: 8_000 }] });
  await make(AO, 'PUT', `/v1/principals/svc_${mark}`, { principal_type: 'service', display_name: mark, roles: ['tenant_service'] });
  const key = (await make(AO, 'POST', '/v1/keys', { principal_id: `svc_${mark}`, name: mark, scopes: ['runs:read'] }))['key'] as { key_id: string };
  const requestId = `req_${mark}`;
  await make(MP, 'POST', '/v1/models:invoke', { request: { request_id: requestId, operation: 'chat', model_ref: 'tier:balanced', input: { messages: [{ role: 'user', content: `hello ${mark}` }] } } });
  const made = await make(AO, 'POST', '/v1/runs', { agent_id: agentId, input: `repeat ${mark}`, idempotency_key: `idem_${mark}`, context: { labels: { mark } } });
  const runId = (made['run'] as { run_id: string }).run_id;
  await untilEnded(async () => ((await make(AO, 'GET', `/v1/runs/${runId}`))['run'] as { status: string }).status);
  return {
    tenant_id: tenant.tenantId, agent_id: agentId, run_id: runId, namespace: `ns-${mark}`, key: `key-${mark}`, tool_id: toolId, server_id: `srv${mark}`,
    webhook_id: (webhook['webhook'] as { webhook_id: string }).webhook_id, policy_id: `pol_${mark}`, principal_id: `svc_${mark}`, key_id: key.key_id, request_id: requestId,
    correlation_id: String(made['correlation_id']),
  };
}

async function untilEnded(status: () => Promise<string>): Promise<void> {
  for (const deadline = Date.now() + RUN_TIMEOUT_MS; ;) {
    if (['completed', 'failed', 'canceled'].includes(await status())) return;
    must(Date.now() < deadline, `a run of the first tenant has not ended after ${RUN_TIMEOUT_MS / 1_000} s`);
    await sleep(50);
  }
}

export function asKey(secret: string): Readonly<Record<string, string>> {
  return { 'x-api-key': secret };
}

/** Identifiers of the same form and length that nobody has, and that sort right beside. */
export function absentTwins(holdings: Holdings): Holdings {
  return Object.fromEntries(Object.entries(holdings).map(([name, id]) => {
    const last = id.at(-1)!;
    return [name, `${id.slice(0, -1)}${last === '0' ? '1' : last === 'Z' || last === 'z' ? (last === 'Z' ? 'Y' : 'y') : '0'}`];
  }));
}
