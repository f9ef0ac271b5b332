/** Tenants, principals and keys by the command line, as an operator and as a tenant's own administrator. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CliError as CliFailure, CliKeys, CliPrincipals, CliTenants } from '../../generated/types/index.ts';
import { validators } from '../../generated/validators/schemas.js';
import { runCommand } from '../../scripts/lib/process.ts';
import { repositoryRoot } from '../../scripts/lib/repository.ts';
import { verifies } from '../http/verifies.ts';
import { createCliNode, ensureBuilt, type CliNode } from './node-under-test.ts';

const SECRET = /aos_live_[0-9A-Z]{26}_[A-Za-z0-9_-]{32}/;

let node: CliNode;
beforeAll(async () => {
  await ensureBuilt();
  node = await createCliNode();
  const up = await node.agentos('up', '--mode', 'dev');
  expect(up.code, up.stderr).toBe(0);
}, 180_000);
afterAll(() => node?.remove(), 180_000);

type Documents = { CliTenants: CliTenants; CliKeys: CliKeys; CliPrincipals: CliPrincipals; CliError: CliFailure };

function documentOf<Name extends keyof Documents>(name: Name, text: string): Documents[Name] {
  const document: unknown = JSON.parse(text);
  expect(validators[name](document), JSON.stringify([document, validators[name].errors])).toBe(true);
  return document as Documents[Name];
}

async function json<Name extends keyof Documents>(name: Name, ...args: readonly string[]): Promise<Documents[Name]> {
  const result = await node.agentos(...args, '-o', 'json');
  expect(result.code, result.stderr).toBe(0);
  return documentOf(name, result.stdout);
}

const use = async (key: string, path: string): Promise<number> => (await fetch(node.baseUrl + path, { headers: { authorization: `Bearer ${key}` } })).status;

describe('the operator of a node', () => {
  it('makes a tenant, its administrator and the first key, which is shown once', verifies(['PRS-15.4-01', 'PRS-15.4-02', 'PRS-15.4-03'], async () => {
    const created = await json('CliTenants', 'tenants', 'create', 'tnt_cli', '--name', 'Acme Corp', '--set', '{"quotas":{"runs":{"max_concurrent_runs":5}}}');
    expect(created).toMatchObject({ command: 'tenants', action: 'create', tenant: { tenant_id: 'tnt_cli', name: 'Acme Corp', status: 'active', quotas: { runs: { max_concurrent_runs: 5 } } } });
    expect((await json('CliPrincipals', 'principals', 'put', 'usr_ada', '--tenant', 'tnt_cli', '--role', 'tenant_admin')).principal).toMatchObject({ principal_type: 'user', roles: ['tenant_admin'] });
    expect((await json('CliPrincipals', 'principals', 'put', 'svc_orders', '--tenant', 'tnt_cli')).principal).toMatchObject({ principal_type: 'service', roles: ['tenant_service'] });
    const text = await node.agentos('keys', 'create', '--tenant', 'tnt_cli', '--principal', 'usr_ada', '--expires', '30d');
    expect(text.code, text.stderr).toBe(0);
    expect(text.stdout.trim(), 'nothing but the secret, to be piped').toMatch(new RegExp(`^${SECRET.source}$`));
    expect(text.stderr).toContain('kept nowhere but as a hash');
    expect(text.stderr).not.toMatch(SECRET);
    expect(await use(text.stdout.trim(), '/v1/principals')).toBe(200);
    const listed = await node.agentos('keys', 'list', '--tenant', 'tnt_cli');
    expect(listed.stdout).toMatch(/KEY\s+PRINCIPAL\s+STATUS/);
    expect(listed.stdout + listed.stderr).not.toMatch(SECRET);
  }), 120_000);

  it('rotates and revokes keys', verifies(['PRS-15.4-03'], async () => {
    const made = await json('CliKeys', 'keys', 'create', '--tenant', 'tnt_cli', '--principal', 'svc_orders', '--scope', 'agents:read,runs:read', '--name', 'orders');
    expect(made).toMatchObject({ action: 'create', key: { name: 'orders', scopes: ['agents:read', 'runs:read'], status: 'active' }, secret: expect.stringMatching(SECRET) as string });
    const rotated = await json('CliKeys', 'keys', 'rotate', made.key!.key_id, '--tenant', 'tnt_cli', '--overlap', '1d');
    expect([await use(made.secret!, '/v1/agents'), await use(rotated.secret!, '/v1/agents')]).toEqual([200, 200]);
    const { keys } = await json('CliKeys', 'keys', 'list', '--tenant', 'tnt_cli', '--principal', 'svc_orders');
    expect(keys!.map(({ key_id, replaced_by }) => [key_id, replaced_by])).toEqual([[made.key!.key_id, rotated.key!.key_id], [rotated.key!.key_id, null]]);
    expect((await json('CliKeys', 'keys', 'revoke', rotated.key!.key_id, '--tenant', 'tnt_cli')).key!.status).toBe('revoked');
    expect(await use(rotated.secret!, '/v1/agents')).toBe(401);
  }), 120_000);

  it('suspends, resumes, deletes and restores a tenant; deleting asks for more than a word', verifies(['PRS-15.4-04', 'PRS-12.2-03', 'PRS-12.2-01'], async () => {
    await json('CliTenants', 'tenants', 'create', 'tnt_cli_two');
    expect((await json('CliTenants', 'tenants', 'suspend', 'tnt_cli_two', '--reason', 'invoice overdue')).tenant!.status).toBe('suspended');
    expect((await json('CliTenants', 'tenants', 'resume', 'tnt_cli_two')).tenant!.status).toBe('active');
    const refused = await node.agentos('tenants', 'delete', 'tnt_cli_two', '--json');
    expect(refused.code).toBe(2);
    expect(documentOf('CliError', refused.stderr).error.next).toBe('agentos tenants delete tnt_cli_two --yes-really');
    expect((await json('CliTenants', 'tenants', 'show', 'tnt_cli_two')).tenant!.status, 'nothing happened').toBe('active');
    const deleted = await json('CliTenants', 'tenants', 'delete', 'tnt_cli_two', '--grace-hours', '2', '--yes-really');
    expect(deleted).toMatchObject({ action: 'delete', deleted: 'tnt_cli_two', purge_after: expect.any(String) as string });
    const { tenants } = await json('CliTenants', 'tenants', 'list');
    expect(tenants!.find(({ tenant_id }) => tenant_id === 'tnt_cli_two')).toMatchObject({ status: 'disabled', deletion: { purge_after: deleted.purge_after } });
    expect(Date.parse(deleted.purge_after!) - Date.now(), 'as asked').toBeLessThan(3 * 3_600_000);
    expect((await json('CliTenants', 'tenants', 'restore', 'tnt_cli_two')).tenant!.status).toBe('active');
    expect((await json('CliTenants', 'tenants', 'update', 'tnt_cli_two', '--name', 'Two', '--plan', 'premium')).tenant).toMatchObject({ name: 'Two', plan_tier: 'premium' });
    expect((await json('CliPrincipals', 'principals', 'delete', 'usr_ada', '--tenant', 'tnt_cli')).keys_revoked).toBe(1);
    expect((await json('CliPrincipals', 'principals', 'list', '--tenant', 'tnt_cli')).principals!.map(({ principal_id }) => principal_id)).toEqual(['svc_orders']);
  }), 120_000);

  it('reads the audit of any tenant', async () => {
    const listed = await node.agentos('audit', 'list', '--tenant', 'tnt_cli', '--action', 'tenant.create');
    expect(listed.code, listed.stderr).toBe(0);
    expect(listed.stdout).toMatch(/allowed +tenant\.create +usr_platform_admin +tenant tnt_cli/);
    expect((await node.agentos('audit', 'list', '--tenant', 'tnt_cli', '--action', 'no.such')).stdout).toBe('There is no such record.\n');
  }, 180_000);

  it('is told what is wrong, with what to type next', async () => {
    const misspelt = await node.agentos('tenants', 'create', 'tnt_cli_three', '--set', '{"quotas":{"runs":{"max_concurent_runs":5}}}');
    expect(misspelt.code).toBe(1);
    expect(misspelt.stderr).toContain('/tenant_create/quotas/runs/max_concurent_runs');
    for (const args of [['tenants'], ['tenants', 'burn'], ['tenants', 'show'], ['keys', 'create'], ['keys', 'rotate', 'key_x', '--overlap', 'soon'], ['tenants', 'create', 'tnt_x', '--set', '[]']]) {
      const usage = await node.agentos(...args);
      expect([usage.code, usage.stderr.includes('next:')], args.join(' ')).toEqual([2, true]);
    }
    expect((await node.agentos('run')).stderr, 'the help of that command').toContain('next: npx agentos run --help');
    expect((await node.agentos('frobnicate')).stderr).toContain('next: npx agentos --help');
    expect((await node.agentos('--version')).stdout).toBe((await node.agentos('version')).stdout);
  }, 120_000);
});

describe('a tenant\'s own administrator', () => {
  it('needs no operator: with a key of the tenant, the commands act in it', verifies(['PRS-10.1-07'], async () => {
    await json('CliPrincipals', 'principals', 'put', 'usr_own', '--tenant', 'tnt_cli', '--role', 'tenant_admin');
    const { secret } = await json('CliKeys', 'keys', 'create', '--tenant', 'tnt_cli', '--principal', 'usr_own');
    const own = (...args: readonly string[]): ReturnType<CliNode['agentos']> =>
      runCommand(process.execPath, ['dist/scripts/agentos.js', ...args, '--json'], { cwd: repositoryRoot, env: { ...node.env, AGENTOS_API_KEY: secret! }, timeoutMs: 60_000 });
    const put = await own('principals', 'put', 'svc_mine');
    expect(put.code, put.stderr).toBe(0);
    const created = await own('keys', 'create', '--principal', 'svc_mine', '--scope', 'runs:read');
    expect(created.code, created.stderr).toBe(0);
    expect(documentOf('CliKeys', created.stdout).key).toMatchObject({ tenant_id: 'tnt_cli', principal_id: 'svc_mine', created_by: 'usr_own' });
    const ran = await own('run', 'agt_any', '--input', 'hello');
    expect(ran.code, ran.stderr).toBe(0);
    expect(ran.stdout, 'in the tenant of the key').toContain('"tenant_id":"tnt_cli"');
    const beyond = await own('keys', 'list', '--tenant', 'tnt_demo');
    expect([beyond.code, beyond.stderr.includes('tenants:admin')]).toEqual([1, true]);
    expect((await own('tenants', 'list')).code).toBe(1);
    await json('CliTenants', 'tenants', 'suspend', 'tnt_cli');
    for (const args of [['run', 'agt_any', '--input', 'hello'], ['keys', 'list']]) {
      const suspended = await own(...args);
      expect([suspended.code, documentOf('CliError', suspended.stderr).error.next], args.join(' ')).toEqual([1, expect.stringContaining('agentos tenants resume')]);
    }
  }), 120_000);
});
