/** `agentos token`: the issuer of the node itself, for trying things out. */
import { readFileSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CliToken } from '../../generated/types/index.ts';
import { validators } from '../../generated/validators/schemas.js';
import { verifies } from '../http/verifies.ts';
import { createCliNode, ensureBuilt, type CliNode } from './node-under-test.ts';

let node: CliNode;
beforeAll(async () => {
  await ensureBuilt();
  node = await createCliNode();
}, 180_000);
afterAll(() => node?.remove(), 180_000);

const ask = (token: string, route: string): Promise<number> => fetch(`${node.baseUrl}${route}`, { headers: { authorization: `Bearer ${token}` } }).then((answer) => answer.status);

describe('agentos token', () => {
  it('asks for a node first', async () => {
    const token = await node.agentos('token');
    expect([token.code, token.stdout]).toEqual([3, '']);
    expect(token.stderr).toContain('agentos up');
  }, 180_000);

  it('prints a token that the node of dev takes, and nothing else', verifies(['PRS-10.2-01', 'PRS-15.4-03'], async () => {
    expect((await node.agentos('up', '--mode', 'dev')).code).toBe(0);
    const key = path.join(node.home, 'secrets', 'issuer-key.json');
    expect(statSync(key).mode & 0o777).toBe(0o600);
    const token = await node.agentos('token');
    expect(token.stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect(token.stderr).toBe('');
    expect(await ask(token.stdout.trim(), '/v1/runs')).toBe(200);
    expect(await ask(token.stdout.trim(), '/v1/admin/tenants')).toBe(403);
    const said = await node.agentos('token', '-o', 'json', '--tenant', 'tnt_demo', '--principal', 'svc_orders', '--type', 'service', '--scope', 'runs:read,agents:read', '--expires', '15m');
    const document = JSON.parse(said.stdout) as CliToken;
    expect(validators.CliToken(document)).toBe(true);
    expect(document).toMatchObject({ command: 'token', tenant_id: 'tnt_demo', principal_id: 'svc_orders', principal_type: 'service', scopes: ['runs:read', 'agents:read'], roles: [] });
    const claims = decodeJwt(document.token);
    expect(claims.exp! - claims.iat!).toBe(900);
    expect(await ask(document.token, '/v1/agents')).toBe(200);
    expect(await ask(document.token, '/v1/webhooks')).toBe(403);
    const operator = await node.agentos('token', '--role', 'platform_operator');
    expect(await ask(operator.stdout.trim(), '/v1/admin/tenants')).toBe(200);
    expect(await ask(operator.stdout.trim(), '/v1/runs'), 'it sees no tenant from inside').toBe(403);
  }), 120_000);

  it.each([
    [['--type', 'robot'], '--type cannot be "robot"'],
    [['--scope', 'runs:raed'], '--scope cannot be "runs:raed"'],
    [['--role', 'root'], '--role cannot be "root"'],
    [['--expires', '1y'], '--expires cannot be "1y"'],
    [['--expires', '400d'], '--expires cannot be "400d"'],
    [['--tenant', '../etc'], '--tenant cannot be'],
  ])('refuses %j', async (flags, words) => {
    const token = await node.agentos('token', ...flags);
    expect([token.code, token.stdout]).toEqual([2, '']);
    expect(token.stderr).toContain(words);
  }, 180_000);

  it('is nothing in prod', verifies(['PRS-10-06'], async () => {
    const token = await node.agentos('token', '--mode', 'prod');
    expect([token.code, token.stdout]).toEqual([3, '']);
    expect(token.stderr).toContain('prod trusts no issuer of its own');
  }), 180_000);

  it('gets a new key when the old one is removed, and the old tokens end with it', async () => {
    const before = (await node.agentos('token')).stdout.trim();
    expect(await ask(before, '/v1/runs')).toBe(200);
    const file = path.join(node.home, 'secrets', 'issuer-key.json');
    const key = readFileSync(file, 'utf8');
    rmSync(file);
    expect((await node.agentos('up', '--mode', 'dev')).code).toBe(0);
    expect(readFileSync(file, 'utf8')).not.toBe(key);
    await expect.poll(() => ask(before, '/v1/runs'), { timeout: 10_000 }).toBe(401);
    expect(await ask((await node.agentos('token')).stdout.trim(), '/v1/runs')).toBe(200);
  }, 180_000);
});
