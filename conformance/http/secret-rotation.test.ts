/**
 * Secrets that change under a running process: its database's password and its provider's key, both kept in Vault. The
 * process is not restarted, keeps answering, and none of the values shows in what it prints.
 */
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startVault, type VaultStub } from '../ports/vault-stub.ts';
import { call } from '../harness/client.ts';
import { planProcesses, type ProcessNode } from '../harness/processes.ts';
import { verifies } from './verifies.ts';

const ROLE = `rotating_${process.pid}`;
const CANARY = 'canary-4c1d';
let vault: VaultStub;
let node: ProcessNode;
let admin: pg.Client;
/** Keys that the provider was shown, newest last; it takes the one of `provider.key` alone. */
const provider = { key: `${CANARY}-key-1`, seen: [] as string[] };
const upstream = createServer((request, response) => {
  const shown = String(request.headers.authorization).replace('Bearer ', '');
  provider.seen.push(shown);
  request.resume().on('end', () => {
    const body = shown === provider.key
      ? { id: 'c1', object: 'chat.completion', created: 1, model: 'm-1', choices: [{ index: 0, message: { role: 'assistant', content: 'hello' }, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } }
      : { error: { message: 'Incorrect API key provided', type: 'invalid_request_error', code: 'invalid_api_key' } };
    response.writeHead(shown === provider.key ? 200 : 401, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
});

const urlWith = (base: string, password: string): string => {
  const url = new URL(base);
  url.username = ROLE;
  url.password = password;
  return url.href;
};
const put = (password: string): void => vault.put('secret', 'agentos', { database_url: urlWith(node.database.url, password), openai: provider.key });

beforeAll(async () => {
  vault = await startVault();
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  node = await planProcesses({
    ...vault.env, DATABASE_URL: 'vault://secret/agentos#database_url', OPENAI_API_KEY: 'vault://secret/agentos#openai', OPENAI_BASE_URL: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`,
    AGENTOS_MODEL_OPENAI_MODELS: 'balanced=m-1', AGENTOS_LOG_LEVEL: 'trace',
  });
  admin = new pg.Client({ connectionString: node.database.url });
  admin.on('error', () => undefined);
  await admin.connect();
  await admin.query(`CREATE ROLE ${ROLE} LOGIN SUPERUSER PASSWORD '${CANARY}-pw-1'`);
  put(`${CANARY}-pw-1`);
  await node.start('model-policy');
}, 90_000);
afterAll(async () => {
  await admin?.end();
  await node?.stop();
  const keeper = new pg.Client({ connectionString: node.database.url.replace(/\/[^/]*$/, '/postgres') });
  await keeper.connect();
  await keeper.query(`DROP ROLE IF EXISTS ${ROLE}`).finally(() => keeper.end());
  upstream.close();
  await vault?.close();
}, 180_000);

const invoke = async (): Promise<number> => (await call(node.urls['model-policy'], '/v1/models:invoke', { tenant: 'tnt_demo', headers: { 'x-scopes': 'models:invoke' }, body: { operation: 'chat', model_ref: 'tier:balanced', input: { messages: [{ role: 'user', content: 'hi' }] } } })).status;
/** What another process would notice: its connections are gone, and new ones need the new password. */
const cut = (): Promise<unknown> => admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [ROLE]);

describe('without a restart', () => {
  it('a new database password is used for new connections, soon after the old one is refused', verifies(['PRS-10.2-02'], async () => {
    expect(await invoke()).toBe(200);
    await admin.query(`ALTER ROLE ${ROLE} PASSWORD '${CANARY}-pw-2'`);
    await cut();
    // The database has the new one, the process does not know it yet.
    await expect.poll(async () => (await call(node.urls['model-policy'], '/readyz', { tenant: null })).status, { timeout: 20_000, interval: 100 }).toBe(503);
    put(`${CANARY}-pw-2`);
    await expect.poll(async () => (await call(node.urls['model-policy'], '/readyz', { tenant: null })).status, { timeout: 20_000, interval: 100 }).toBe(200);
    expect(await invoke()).toBe(200);
  }), 180_000);

  it('a new provider key is used soon after the old one is refused', verifies(['PRS-10.2-02'], async () => {
    provider.key = `${CANARY}-key-2`;
    put(`${CANARY}-pw-2`);
    await expect.poll(invoke, { timeout: 20_000, interval: 200 }).toBe(200);
    expect(provider.seen.at(-1)).toBe(`${CANARY}-key-2`);
    expect(provider.seen[0]).toBe(`${CANARY}-key-1`);
  }), 180_000);

  it('each read stands in the audit log, with its version and without its value', verifies(['PRS-10.2-03'], async () => {
    const records = async (): Promise<readonly { readonly outcome: string; readonly resource: { readonly id: string }; readonly details: { readonly adapter: string; readonly version: string | null; readonly changed: boolean } }[]> =>
      (await admin.query<{ entry: never }>(`SELECT entry FROM audit.records WHERE tenant_id = '_platform' AND service = 'model-policy' AND entry->>'action' = 'secret.read' ORDER BY sequence`)).rows.map(({ entry }) => entry);
    const versionsOf = async (name: string): Promise<readonly (string | null)[]> => (await records()).filter((each) => each.resource.id === name && each.outcome === 'allowed' && each.details.changed).map((each) => each.details.version);
    await expect.poll(() => versionsOf('DATABASE_URL'), { timeout: 20_000 }).toContain('2');
    await expect.poll(() => versionsOf('OPENAI_API_KEY'), { timeout: 20_000 }).toContain('3');
    const all = await records();
    expect(all.find((each) => each.resource.id === 'DATABASE_URL')).toMatchObject({ outcome: 'allowed', details: { adapter: 'vault', version: '1', changed: false } });
    expect(JSON.stringify(all)).not.toContain(CANARY);
    expect(JSON.stringify(all)).not.toContain(vault.token);
  }), 180_000);

  it('and nothing of it is printed', async () => {
    const printed = node.output('model-policy');
    expect(printed).toMatch(/DATABASE_URL has a new value/);
    expect(printed).toMatch(/OPENAI_API_KEY has a new value/);
    expect(printed).not.toContain(CANARY);
    expect(printed).not.toContain(vault.token);
    const metrics = await fetch(`${node.urls['model-policy']}/metrics`).then((answer) => answer.text());
    expect(metrics).not.toContain(CANARY);
  });
});
