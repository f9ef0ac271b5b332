import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { createApiKey } from '../auth/api-key.ts';
import { createDatabase, type Database } from '../db/pool.ts';
import { DIRECTORY_SCHEMA, directoryMigrations } from './directory-migrations.ts';
import { PostgresDirectory } from './directory-postgres.ts';
import { effectiveQuotas } from './quotas.ts';
import { expandScopes, parseScopes } from './scopes.ts';
import { ShortMemory } from './short-memory.ts';
import type { AuthContext } from './auth-context.ts';

const ADMIN: AuthContext = { tenant_id: 'tnt_admin', principal: { principal_id: 'usr_admin', principal_type: 'user' }, scopes: ['tenants:admin'] };

describe('scopes', () => {
  it('come as text or list', () => {
    expect(parseScopes('runs:read  runs:create,agents:read')).toEqual(['runs:read', 'runs:create', 'agents:read']);
    expect(parseScopes(['runs:read', 7, ''])).toEqual(['runs:read']);
    expect(parseScopes({ 'runs:read': true })).toEqual([]);
  });

  it('have older, coarser names (C-24)', () => {
    expect(expandScopes(['runs:write', 'events:read'])).toEqual(['runs:write', 'runs:create', 'runs:cancel', 'runs:forward', 'events:read', 'runs:read']);
    expect(expandScopes(['constructor', 'toString'])).toEqual(['constructor', 'toString']);
  });
});

describe('quotas', () => {
  const defaults = { AGENTOS_QUOTA_RUN_CREATE_QPS: 10, AGENTOS_QUOTA_CONCURRENT_RUNS: 25, AGENTOS_QUOTA_INVOKE_QPS: 20 };
  it('are the node\'s where the tenant has none (C-54)', () => {
    expect(effectiveQuotas({}, defaults)).toMatchObject({ runCreateQps: 10, runCreateBurst: 10, maxConcurrentRuns: 25, invokeQps: 20, maxTokensPerRequest: null });
    expect(effectiveQuotas({}, { ...defaults, AGENTOS_QUOTA_RUN_CREATE_BURST: 50 }).runCreateBurst).toBe(50);
  });

  it('are the tenant\'s where it has some, zero included', () => {
    expect(effectiveQuotas({ quotas: { runs: { run_create_qps: 0.5 } } }, { ...defaults, AGENTOS_QUOTA_RUN_CREATE_BURST: 50 })).toMatchObject({ runCreateQps: 0.5, runCreateBurst: 1 });
    expect(effectiveQuotas({ quotas: { runs: { run_create_qps: 0, max_concurrent_runs: 0 } } }, defaults)).toMatchObject({ runCreateQps: 0, runCreateBurst: 0, maxConcurrentRuns: 0 });
    expect(effectiveQuotas({ quotas: { tools: { tool_calls_per_minute: 120 }, models: { max_tokens_per_request: 4096 } } }, defaults)).toMatchObject({ toolCallsPerMinute: 120, maxTokensPerRequest: 4096 });
  });
});

describe('short memory', () => {
  it('asks once for many, again after its time, and refreshes behind an answer', async () => {
    let now = 0;
    let loads = 0;
    const memory = new ShortMemory(async () => (loads += 1), () => now);
    expect(await Promise.all([memory.get('a'), memory.get('a')])).toEqual([1, 1]);
    now = 600;
    expect(await memory.get('a')).toBe(1);
    await sleep(1);
    expect(await memory.get('a')).toBe(2);
    now = 2_000;
    expect(await memory.get('a')).toBe(3);
    memory.forget('a');
    expect(await memory.get('a')).toBe(4);
  });

  it('remembers no failure and no answer that was forgotten meanwhile', async () => {
    let fail = true;
    let now = 0;
    let answer = 'old';
    const memory = new ShortMemory(async () => {
      const given = answer;
      await sleep(5);
      if (fail) throw new Error('down');
      return given;
    }, () => now);
    await expect(memory.get('a')).rejects.toThrow('down');
    fail = false;
    expect(await memory.get('a')).toBe('old');
    now = 700;
    void memory.get('a');
    memory.forget('a');
    answer = 'new';
    expect(await memory.get('a')).toBe('new');
    await sleep(10);
    expect(await memory.get('a')).toBe('new');
  });
});

describe('the directory on PostgreSQL', () => {
  let scratch: TestDatabase;
  let database: Database;
  beforeAll(async () => {
    scratch = await testDatabase({ migrations: [{ schema: DIRECTORY_SCHEMA, migrations: directoryMigrations }] });
    database = await createDatabase({ url: scratch.url, applicationName: 'directory-test' });
  });
  afterAll(async () => {
    await database.close();
    await scratch.drop();
  });

  it('refuses an id that could name two tenants', async () => {
    const directory = new PostgresDirectory(database.pool);
    for (const tenant_id of ['a,b', '', 'a b', "'", '.']) await expect(directory.createTenant(ADMIN, { tenant_id })).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('lets one of many equal creations through', async () => {
    const directory = new PostgresDirectory(database.pool);
    const settled = await Promise.allSettled(Array.from({ length: 8 }, () => directory.createTenant(ADMIN, { tenant_id: 'tnt_race' })));
    expect(settled.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    expect(settled.filter((result) => result.status === 'rejected').every((result) => (result as PromiseRejectedResult).reason.code === 'conflict')).toBe(true);
  });

  it('tells another process of a change within a second', async () => {
    const [here, there] = [new PostgresDirectory(database.pool), new PostgresDirectory(database.pool)];
    await here.createTenant(ADMIN, { tenant_id: 'tnt_seen', name: 'Before' });
    expect(await there.getTenant(null, 'tnt_seen')).toMatchObject({ name: 'Before', status: 'active' });
    await here.updateTenant(ADMIN, 'tnt_seen', { status: 'suspended' });
    expect(await here.getTenant(null, 'tnt_seen')).toMatchObject({ name: 'Before', status: 'suspended' });
    await sleep(1_050);
    expect(await there.getTenant(null, 'tnt_seen')).toMatchObject({ status: 'suspended' });
  });

  it('reads a tenant with one query a second, whatever the load', async () => {
    const directory = new PostgresDirectory(database.pool);
    await directory.createTenant(ADMIN, { tenant_id: 'tnt_busy' });
    const before = database.pool.totalCount;
    await Promise.all(Array.from({ length: 5_000 }, () => directory.getTenant(null, 'tnt_busy')));
    expect(database.pool.totalCount).toBe(before);
  });

  it('takes a tenant\'s principals and keys with it', async () => {
    const directory = new PostgresDirectory(database.pool);
    await directory.createTenant(ADMIN, { tenant_id: 'tnt_gone' });
    await directory.putPrincipal(ADMIN, { tenantId: 'tnt_gone', principalId: 'usr_1', principalType: 'user', displayName: 'One', roles: ['tenant_user'] });
    const { record } = createApiKey({ tenantId: 'tnt_gone', principalId: 'usr_1', principalType: 'user', scopes: ['runs:read'], roles: [] });
    await directory.putApiKey(ADMIN, record);
    expect(await directory.getApiKey(record.keyId)).toEqual(record);
    await directory.deleteTenant(ADMIN, 'tnt_gone');
    expect(await new PostgresDirectory(database.pool).getApiKey(record.keyId)).toBeNull();
    const left = await scratch.asSuperuser((client) => client.query("SELECT 1 FROM directory.principals WHERE tenant_id = 'tnt_gone'"));
    expect(left.rowCount).toBe(0);
  });
});
