/**
 * What an operation needs to find: for each operation a tenant of its own and, in it, a few objects of the kinds that its
 * path names, so that most requests meet something and what one operation destroys is missed by no other.
 */
import { vi } from 'vitest';
import type { OperationView } from '../../../scripts/contract/openapi.ts';
import { PLATFORM_SCOPES, TENANT_SCOPES } from '../../../services/platform/tenancy/scopes.ts';
import { call, untilEnded, type Answer, type Json } from '../../harness/client.ts';
import type { TestNode } from '../../harness/node.ts';
import type { ServiceName } from '../../harness/prism.ts';
import { FUZZ_CANARY, FUZZ_PEER, WAITING_MODEL } from './fuzz-node.ts';
import type { KnownValues } from './schema-arbitrary.ts';

export interface Scene {
  readonly known: KnownValues;
  readonly demanded: KnownValues;
  readonly headers: ReadonlyArray<readonly [string, string]>;
}

type Maker = (scene: SceneMaker) => Promise<readonly string[]>;

/** Operations by which an object can be used up, so that a valid request to it is served once. */
const USES_UP = /^(delete|revoke|rotate|restore|cancel)/;

/** So many objects of each kind that an operation names; of those that it uses up, so many for a hundred requests, as far as a tenant may have them. */
const EACH = 3;
const EACH_USED_UP = 40;
const AT_MOST = 30;

/** By the name of a path parameter. */
const MAKERS: Readonly<Record<string, Maker>> = {
  run_id: (scene) => (scene.isUsedUp ? scene.waitingRuns() : scene.runs()),
  agent_id: (scene) => scene.each(scene.numbered('agt_fuzz'), (id) => scene.post('/v1/agents', { agent_id: id, name: 'Fuzz', model_ref: 'tier:fast' })),
  tool_id: (scene) => scene.each(scene.numbered('tool.fuzz'), (id) => scene.post('/v1/tools', { tool_id: id, description: 'A tool of a test.', input_schema: { type: 'object' }, webhook: { url: 'https://tools.invalid/x' } })),
  server_id: (scene) => scene.each(scene.numbered('fuzz'), (id) => scene.post('/v1/mcp-servers', { server_id: id, name: 'Fuzz', transport: { type: 'streamable_http', url: 'https://mcp.invalid/mcp' } })),
  namespace: () => Promise.resolve(['notes']),
  key: (scene) => scene.each(scene.numbered('key'), (key) => scene.put(`/v1/memory/notes/items/${key}`, { value: { text: key } })),
  webhook_id: (scene) => scene.eachAnswered(({ webhook }) => webhook.webhook_id as string, () => scene.post('/v1/webhooks', { url: 'https://hooks.invalid/x', event_types: ['agentos.run.*'] })),
  tenant_id: (scene) => scene.tenants(),
  policy_id: (scene) => scene.each(scene.numbered('pol_fuzz'), (id) => scene.put(`/v1/policies/${id}`, { rules: [] }, 'model-policy')),
  request_id: (scene) => scene.each(scene.numbered('req_fuzz'), (id) => scene.post('/v1/models:invoke', { request: { operation: 'chat', request_id: id, model_ref: 'tier:fast', input: { messages: [{ role: 'user', content: 'hello' }] } } }, 'model-policy')),
  model_id: (scene) => scene.models('chat'),
  principal_id: (scene) => scene.each(scene.numbered('svc_fuzz'), (id) => scene.put(`${scene.directory}/principals/${id}`, { principal_type: 'service', roles: ['tenant_service'] })),
  canary_name: () => Promise.resolve([FUZZ_CANARY]),
  key_id: async (scene) => {
    await scene.put(`${scene.directory}/principals/svc_fuzz_1`, { principal_type: 'service', roles: ['tenant_service'] });
    return scene.eachAnswered(({ key }) => key.key_id as string, () => scene.post(`${scene.directory}/keys`, { principal_id: 'svc_fuzz_1' }));
  },
};

const DAY_MS = 86_400_000;

const INPUT_SCHEMAS = [{ type: 'object' }, { type: 'object', properties: { query: { type: 'string' } }, required: ['query'] }];

/** Values for members of bodies and queries, whatever the operation. */
const ANYWHERE: KnownValues = {
  agent_id: ['agt_fuzz_1', 'agt_sample_echo_v1'],
  model_ref: ['tier:fast', 'tier:balanced'],
  principal_id: ['svc_fuzz_1'],
  scopes: [['runs:read'], []],
  roles: [['tenant_service'], []],
  expires_at: [new Date(Date.now() + DAY_MS).toISOString()],
  from: ['2025-01-01T00:00:00Z'],
  to: ['9999-12-31T23:59:59Z'],
  required_capabilities: [[]],
  types: [['email', 'card']],
  // Names that nobody answers to, so that nothing is ever sent anywhere.
  url: ['https://hooks.invalid/x', 'https://hooks.invalid/y', 'http://127.0.0.1:9/x', 'https://user@hooks.invalid/'],
};

/** By operation, where most of what its schema allows is refused for a reason that no schema states. */
const DEMANDED: Readonly<Record<string, KnownValues>> = {
  createChatCompletion: {
    n: [1], logprobs: [false], top_logprobs: [0], tool_choice: ['auto', 'none'], response_format: [{ type: 'text' }, { type: 'json_object' }], content: ['hello', [{ type: 'text', text: 'hello' }]],
    tools: [[], [{ type: 'function', function: { name: 'sql_query', description: 'Runs a query.', parameters: { type: 'object' } } }]],
  },
  createEmbeddings: { input: ['hello', ['hello', 'there']], dimensions: [256] },
  invokeModel: { operation: ['chat'], deny: [false], response_format: [{ type: 'text' }, { type: 'json_object' }], content: ['hello', [{ type: 'text', text: 'hello' }]], requirements: [{}] },
  createTool: { input_schema: INPUT_SCHEMAS },
  replaceTool: { input_schema: INPUT_SCHEMAS },
  putPolicy: { version: [1] },
  getUsage: { from: ['2025-01-01'], to: ['2099-12-31'] },
  listUsageEntries: { from: ['2025-01-01'], to: ['2099-12-31'] },
};

/** @param requests of each kind that will be made. */
export async function setScene(node: TestNode, service: ServiceName, operation: OperationView, requests: number): Promise<Scene> {
  const tenantId = await node.tenant();
  const isUsedUp = USES_UP.test(operation.operationId);
  const scene = new SceneMaker(node, tenantId, { isUsedUp, each: isUsedUp ? Math.min(AT_MOST, Math.ceil((requests * EACH_USED_UP) / 100)) : EACH, victims: operation.path.startsWith('/v1/admin/tenants/{tenant_id}') });
  const known: Record<string, readonly unknown[]> = { ...ANYWHERE };
  const names = [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
  if (/keys/.test(operation.path) && !names.includes('principal_id')) names.push('principal_id');
  // The tenant first: what else is made may stand in it.
  for (const name of names) {
    const make = MAKERS[name];
    if (make !== undefined) known[name] = await make(scene);
  }
  // The principals and keys stand in the first of the tenants that are administered.
  if (names.includes('principal_id')) known['tenant_id'] = known['tenant_id']?.slice(0, 1) ?? [];
  if (operation.operationId.startsWith('restoreTenant')) await scene.deleteTenants();
  if (operation.operationId.startsWith('rollBackAgent')) await scene.put('/v1/agents/agt_fuzz_1', { name: 'Fuzz again', model_ref: 'tier:fast' });
  if (operation.operationId === 'getDecision') await scene.untilFound(`/v1/decisions/${String(known['request_id']![0])}`, 'model-policy');
  // Its own node is the one that it can send runs to; what is ingested comes from a peer that it knows.
  if (service === 'federation') Object.assign(known, { stack_id: ['stk_local'], region: ['local'], source_stack_id: [FUZZ_PEER], peer_id: [FUZZ_PEER], tenant_id: [scene.headers['X-Tenant-Id']] });
  if (service === 'model-policy') known['model'] = known['model_id'] = known['model_ref'] = await scene.models(operation.operationId === 'createEmbeddings' ? 'embed' : 'chat');
  // The body of a replacement may repeat the id of its path, and no other.
  if (operation.method === 'put') for (const name of names) known[name] = known[name]?.slice(0, 1) ?? [];
  if (service === 'model-policy') known['tenant_id'] = [tenantId];
  // Of those that stand there already no other can be made.
  if (operation.operationId === 'createAgent') known['agent_id'] = [];
  // One tenant, so that what is drawn to confirm is the one that is drawn to go.
  if (operation.operationId === 'deleteTenant') known['confirm'] = known['tenant_id'] = known['tenant_id']!.slice(0, 1);
  return { known, demanded: DEMANDED[operation.operationId] ?? {}, headers: Object.entries(scene.headers) };
}

class SceneMaker {
  readonly headers: Readonly<Record<string, string>>;
  readonly isUsedUp: boolean;
  readonly #node: TestNode;
  readonly #each: number;
  readonly #victims: boolean;
  #tenants: readonly string[] = [];

  /** `victims`: what is made of the directory is made in the tenants that `tenants` makes. */
  constructor(node: TestNode, tenantId: string, options: { readonly isUsedUp: boolean; readonly each: number; readonly victims: boolean }) {
    this.#node = node;
    this.isUsedUp = options.isUsedUp;
    this.#each = options.each;
    this.#victims = options.victims;
    this.headers = { 'X-Tenant-Id': tenantId, 'X-Principal-Id': 'usr_fuzz', 'X-Scopes': [...TENANT_SCOPES, ...PLATFORM_SCOPES].join(' ') };
  }

  /** Where the principals and keys stand. */
  get directory(): string {
    return this.#victims ? `/v1/admin/tenants/${this.#tenants[0]!}` : '/v1';
  }

  get(path: string, service: ServiceName = 'agent-orchestrator'): Promise<Answer> {
    return this.#call('GET', path, undefined, service);
  }

  post(path: string, body: unknown, service: ServiceName = 'agent-orchestrator'): Promise<Answer> {
    return this.#call('POST', path, body, service);
  }

  put(path: string, body: unknown, service: ServiceName = 'agent-orchestrator'): Promise<Answer> {
    return this.#call('PUT', path, body, service);
  }

  numbered(prefix: string): string[] {
    return Array.from({ length: this.#each }, (_, index) => `${prefix}_${index + 1}`);
  }

  async each(ids: readonly string[], make: (id: string) => Promise<Answer>): Promise<readonly string[]> {
    for (const id of ids) await make(id);
    return ids;
  }

  async eachAnswered(idOf: (body: Json) => string, make: () => Promise<Answer>): Promise<readonly string[]> {
    const ids: string[] = [];
    for (let index = 0; index < this.#each; index += 1) ids.push(idOf((await make()).body));
    return ids;
  }

  async runs(): Promise<readonly string[]> {
    const ids = await this.eachAnswered(({ run }) => run.run_id as string, () => this.post('/v1/runs', { agent_id: 'agt_sample_echo_v1', input: 'hello' }));
    for (const id of ids) await untilEnded(this.#node.urls['agent-orchestrator'], id, { tenant: null, headers: this.headers });
    return ids;
  }

  /** Runs that go on until they are canceled. */
  async waitingRuns(): Promise<readonly string[]> {
    await this.post('/v1/agents', { agent_id: 'agt_waiting', name: 'Waiting', model_ref: WAITING_MODEL });
    return this.eachAnswered(({ run }) => run.run_id as string, () => this.post('/v1/runs', { agent_id: 'agt_waiting', input: 'hello' }));
  }

  async models(capability: string): Promise<readonly string[]> {
    const models = (await this.get('/v1/models', 'model-policy')).body.models as Json[];
    return models.filter(({ capabilities, model_id: id }) => id !== WAITING_MODEL && capabilities.includes(capability)).map(({ model_id: id }) => id as string);
  }

  /** For what is written behind the answer that caused it. */
  async untilFound(path: string, service: ServiceName): Promise<void> {
    await vi.waitFor(() => this.get(path, service), { timeout: 5_000, interval: 50 });
  }

  async tenants(): Promise<readonly string[]> {
    const made: string[] = [];
    for (let index = 0; index < this.#each; index += 1) made.push(await this.#node.tenant());
    this.#tenants = made;
    return made;
  }

  async deleteTenants(): Promise<void> {
    for (const id of this.#tenants) await this.#call('DELETE', `/v1/admin/tenants/${id}?confirm=${id}`, undefined, 'agent-orchestrator');
  }

  async #call(method: string, path: string, body: unknown, service: ServiceName): Promise<Answer> {
    const answer = await call(this.#node.urls[service], path, { method, tenant: null, headers: this.headers, ...(body === undefined ? {} : { body }) });
    if (answer.status >= 300) throw new Error(`The scene could not be set: ${method} ${path} answered ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer;
  }
}
