/**
 * The canary: strings that occur nowhere else, planted wherever a secret or somebody's content can stand, and looked for
 * wherever it must not — in what processes print at their most talkative, in metrics, in the audit trail, in what others
 * read, in errors, on disk and at rest — after traffic, after errors, and after a crash (PRS 10, reliability §3).
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PLATFORM_SCOPES, TENANT_SCOPES } from '../../services/platform/tenancy/scopes.ts';
import { call, readEvents, untilEnded, type Answer, type Call } from '../harness/client.ts';
import { storeKeys } from '../harness/keys.ts';
import { planProcesses, type ProcessNode } from '../harness/processes.ts';
import { exchange } from '../harness/raw-http.ts';
import { serviceNames } from './operations.ts';
import { verifies } from './verifies.ts';

const AO = 'agent-orchestrator';
const MP = 'model-policy';
const canary = (name: string): string => `canary${name}${randomBytes(9).toString('hex')}`;

/** Nobody may see these again, not even who sent them. */
const SECRETS = { provider: canary('provider'), webhook: canary('webhook'), mcp: canary('mcp'), header: canary('header'), wrongKey: canary('wrongkey'), cookie: canary('cookie'), query: canary('query'), signing: canary('signing') };
/** Its own tenant may read these, and nobody else. */
const CONTENTS = { prompt: canary('prompt'), tool: canary('tool'), memory: canary('memory'), answer: canary('answer'), invalid: canary('invalid') };

let node: ProcessNode;
let upstream: Server;
let folder: string;
let keys: { readonly tenant: string; readonly platform: string };
let stranger: { readonly tenantId: string; readonly key: string };
const printed: string[] = [];
const errors: Answer[] = [];

/** A provider that, when it fails, repeats the key it was given, as some do. It fails where the prompt asks for a status. */
async function startProvider(): Promise<Server> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const status = Number(/status (\d{3})/.exec(Buffer.concat(chunks).toString('utf8'))?.[1] ?? 200);
      const told = `Incorrect API key provided: ${request.headers.authorization}`;
      const body = status === 200
        ? { id: 'x', object: 'chat.completion', choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: `I say ${CONTENTS.answer}` } }], usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 } }
        : { error: { message: told, type: 'invalid_request_error', code: told } };
      response.writeHead(status, { 'content-type': 'application/json', 'x-request-id': 'up' }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

beforeAll(async () => {
  upstream = await startProvider();
  folder = mkdtempSync(join(tmpdir(), 'agentos-canary-'));
  node = await planProcesses({
    AGENTOS_MODE: 'dev', AGENTOS_CONTRACT_CHECK: 'off', AGENTOS_LOG_LEVEL: 'trace', AGENTOS_DATA_DIR: folder, AGENTOS_JOURNAL_DIR: join(folder, 'journal'), AGENTOS_LEASE_MS: '1000',
    AGENTOS_SIGNING_KEY: `${SECRETS.signing}${randomBytes(24).toString('hex')}`,
    OPENAI_API_KEY: SECRETS.provider, OPENAI_BASE_URL: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`, AGENTOS_MODEL_OPENAI_MODELS: 'premium=gpt-canary@1/1#8000',
    OTEL_SERVICE_NAME: 'canary',
  });
  const [tenant, platform] = await storeKeys(node.database.url, [{ scopes: TENANT_SCOPES, roles: ['tenant_admin'] }, { principalId: 'usr_operator', scopes: PLATFORM_SCOPES, roles: ['platform_operator'] }]);
  keys = { tenant: tenant!, platform: platform! };
  for (const service of ['model-policy', 'agent-orchestrator', 'federation'] as const) await node.start(service);
  const tenantId = `tnt_c${randomBytes(6).toString('hex')}`;
  expect((await call(node.urls[AO], '/v1/admin/tenants', { tenant: null, headers: { 'x-api-key': keys.platform }, body: { tenant_id: tenantId, name: 'Stranger' } })).status).toBe(201);
  const [key] = await storeKeys(node.database.url, [{ tenantId, scopes: TENANT_SCOPES, roles: ['tenant_admin'] }]);
  stranger = { tenantId, key: key! };
  await traffic();
  await crash();
}, 240_000);
afterAll(async () => {
  await node?.stop();
  upstream?.close();
  rmSync(folder, { recursive: true, force: true });
});

const own = (service: 'agent-orchestrator' | 'model-policy' | 'federation', path: string, options: Call = {}): Promise<Answer> =>
  call(node.urls[service], path, { tenant: null, ...options, headers: { 'x-api-key': keys.tenant, 'user-agent': `agent ${SECRETS.header}`, cookie: `session=${SECRETS.cookie}`, 'x-vendor-token': SECRETS.header, ...options.headers } });

async function failing(answer: Promise<Answer>): Promise<void> {
  const got = await answer;
  expect(got.status, JSON.stringify(got.body)).toBeGreaterThanOrEqual(400);
  errors.push(got);
}

/** Plants everything, in calls that succeed and in calls that fail in every way there is. */
async function traffic(): Promise<void> {
  const made = await own(AO, '/v1/agents/agt_sample_echo_v1/runs', { body: { input: `Use tool.echo to repeat: ${CONTENTS.tool} ${CONTENTS.prompt}` } });
  expect(made.status, JSON.stringify(made.body)).toBe(201);
  await untilEnded(node.urls[AO], made.body.run.run_id as string, { tenant: null, headers: { 'x-api-key': keys.tenant } });
  expect((await readEvents(node.urls[AO], made.body.run.events_url as string, { tenant: null, headers: { 'x-api-key': keys.tenant } })).raw, 'the tool did say it').toContain(CONTENTS.tool);
  expect((await own(AO, `/v1/memory/notes/items/${CONTENTS.memory}`, { method: 'PUT', body: { value: { text: CONTENTS.memory } } })).status).toBe(201);
  expect((await own(AO, '/v1/webhooks', { body: { url: 'https://hooks.example.com/a', event_types: ['agentos.run.*'], secret: `whsec_${Buffer.from(SECRETS.webhook).toString('base64')}` } })).status).toBe(201);
  expect((await own(AO, '/v1/mcp-servers', { body: { server_id: 'guarded', transport: { type: 'streamable_http', url: 'https://mcp.example.com/mcp', headers: { Authorization: `Bearer ${SECRETS.mcp}` } } } })).status).toBe(201);
  const chat = (say: string): Promise<Answer> => own(MP, '/v1/chat/completions', { body: { model: 'gpt-canary', messages: [{ role: 'user', content: `${say} ${CONTENTS.prompt}` }] } });
  expect((await chat('hello')).body.choices?.[0].message.content, 'the provider was asked with its key').toContain(CONTENTS.answer);
  for (const status of [401, 400, 500]) await failing(chat(`status ${status}`));
  await failing(own(AO, '/v1/runs', { headers: { 'x-api-key': `aos_live_01ARZ3NDEKTSV4RRFFQ69G5FAV_${SECRETS.wrongKey}` } }));
  await failing(own(AO, '/v1/runs', { headers: { authorization: `Bearer ${SECRETS.wrongKey}` } }));
  await failing(call(node.urls[AO], `/v1/runs?access_token=${SECRETS.query}`, { tenant: null }));
  await failing(call(node.urls[MP], '/v1/models', { tenant: null, headers: { authorization: `Basic ${SECRETS.wrongKey}` } }));
  await failing(own(AO, '/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'x', run_options: { priority: CONTENTS.invalid, timeout_ms: CONTENTS.invalid } } }));
  await failing(own(AO, '/v1/webhooks', { body: { url: `https://user:${SECRETS.webhook}@10.0.0.1/`, event_types: ['agentos.run.*'] } }));
  await failing(own(MP, '/v1/models:invoke', { body: { request: { request_id: 'req_canary', operation: 'chat', model_ref: 'gpt-99', input: { messages: [{ role: 'user', content: CONTENTS.prompt }] } } } }));
  const host = new URL(node.urls[AO]).host;
  for (const body of [`{"input": ${CONTENTS.invalid}`, `"${CONTENTS.invalid}\u0000"`]) {
    const answer = await exchange(node.urls[AO], Buffer.from(`POST /v1/runs HTTP/1.1\r\nHost: ${host}\r\nX-API-Key: ${keys.tenant}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`));
    errors.push({ status: answer.status, headers: new Headers(), body: answer.body });
  }
  const broken = await exchange(node.urls[AO], Buffer.from(`GET /v1/runs HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${SECRETS.header}\r\nBad Header ${SECRETS.header}\r\n\r\n`));
  errors.push({ status: broken.status, headers: new Headers(), body: broken.body });
}

/** A worker dies in the middle of a run, another one takes it over, and Model Policy is gone for a while. */
async function crash(): Promise<void> {
  const made = await own(AO, '/v1/agents/agt_sample_echo_v1/runs', { body: { input: `Use tool.echo to repeat: ${CONTENTS.tool}` } });
  for (const service of ['model-policy', 'agent-orchestrator'] as const) {
    printed.push(node.output(service));
    await node.kill(service, 'SIGKILL');
    // Long enough for the one that is left to notice, and to say so.
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  await node.start('model-policy');
  await node.start('agent-orchestrator');
  try {
    await untilEnded(node.urls[AO], made.body.run.run_id as string, { tenant: null, headers: { 'x-api-key': keys.tenant }, timeoutMs: 45_000 });
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${(['model-policy', 'agent-orchestrator'] as const).map((service) => node.output(service).slice(-6_000)).join('\n')}`, { cause: error });
  }
  for (const service of serviceNames) printed.push(node.output(service));
}

function expectNone(text: string, canaries: Readonly<Record<string, string>>, where: string): void {
  const forms = (value: string): string[] => [value, Buffer.from(value).toString('base64').slice(0, -4), encodeURIComponent(value)];
  const found = Object.entries(canaries).filter(([, value]) => forms(value).some((form) => text.includes(form))).map(([name, value]) => {
    const at = text.indexOf(value);
    return `${name} in ${where}: …${text.slice(Math.max(0, at - 160), at)}<${name}>`;
  });
  expect(found).toEqual([]);
}

/** Of each key the end, which is of its secret alone. */
const issued = (): Readonly<Record<string, string>> => ({ tenantKey: keys.tenant.slice(-24), platformKey: keys.platform.slice(-24), strangersKey: stranger.key.slice(-24) });

describe('what must stay where it was put', () => {
  it('was printed by no process, not even at trace level', () => {
    const text = printed.join('\n');
    expect(text.length, 'the processes did print').toBeGreaterThan(2_000);
    expectNone(text, { ...SECRETS, ...CONTENTS, ...issued() }, 'logs');
  });

  it('stands in no metric', async () => {
    for (const service of serviceNames) {
      const metrics = await call(node.urls[service], '/metrics', { tenant: null, headers: { 'x-api-key': keys.platform } });
      expect(metrics.status).toBe(200);
      expectNone(metrics.body as string, { ...SECRETS, ...CONTENTS, ...issued() }, `metrics of ${service}`);
    }
  });

  it('comes back in no error', () => {
    expect(errors.length).toBeGreaterThan(10);
    for (const { status, body, headers } of errors) expectNone(`${JSON.stringify(body)} ${JSON.stringify([...headers])}`, { ...SECRETS, ...CONTENTS, ...issued() }, `a ${status}`);
  });

  it('stands in no record of the audit trail', async () => {
    const trail = await own(AO, '/v1/audit:export');
    expect([trail.status, (trail.body as string).split('\n').length > 5]).toEqual([200, true]);
    const rows = await node.database.asSuperuser((client) => client.query<{ text: string }>('SELECT string_agg(r::text, chr(10)) AS text FROM audit.records r'));
    // A key of memory is the name of a thing and is recorded as such; what stands under it is content.
    const { memory: _name, ...contents } = CONTENTS;
    expectNone(`${trail.body as string}${rows.rows[0]!.text}`, { ...SECRETS, ...contents, ...issued() }, 'the audit trail');
  });

  it('is nowhere that another tenant reads', verifies(['PRS-13-09'], async () => {
    for (const [service, path] of [[AO, '/v1/runs'], [AO, '/v1/agents'], [AO, '/v1/memory'], [AO, '/v1/memory/notes/items'], [AO, '/v1/webhooks'], [AO, '/v1/mcp-servers'], [AO, '/v1/audit'], [MP, '/v1/usage'], [MP, '/v1/decisions'], [MP, '/v1/models']] as const) {
      const answer = await call(node.urls[service], path, { tenant: null, headers: { 'x-api-key': stranger.key } });
      expect(answer.status, path).toBeLessThan(500);
      expectNone(JSON.stringify(answer.body), { ...SECRETS, ...CONTENTS, ...issued() }, path);
    }
  }));

  it('is read back by its own tenant only where it is content', async () => {
    for (const path of ['/v1/webhooks', '/v1/mcp-servers', '/v1/keys', '/v1/runs', '/v1/tenant']) expectNone(JSON.stringify((await own(AO, path)).body), { ...SECRETS, ...issued() }, path);
    expect(JSON.stringify((await own(AO, `/v1/memory/notes/items/${CONTENTS.memory}`)).body)).toContain(CONTENTS.memory);
  });

  it('lies in no file of the node', () => {
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const entry of files) expectNone(readFileSync(join(entry.parentPath, entry.name), 'utf8'), { ...SECRETS, ...CONTENTS, ...issued() }, entry.name);
  });

  it('lies in no table as plain text where it is a secret', async () => {
    const text = await node.database.asSuperuser(async (client) => {
      const tables = await client.query<{ name: string }>("SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')");
      const dumps = [];
      for (const { name } of tables.rows) dumps.push((await client.query<{ text: string | null }>(`SELECT string_agg(r::text, chr(10)) AS text FROM ${name} r`)).rows[0]!.text ?? '');
      return dumps.join('\n');
    });
    expect(text, 'the dump is one').toContain(CONTENTS.memory);
    expectNone(text, { ...SECRETS, ...issued() }, 'a table');
  });
});
