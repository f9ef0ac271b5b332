/** The guided set-up of a node in prod: one command, from an empty folder to a first tenant that its administrator can use. */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Report } from '../../generated/types/index.ts';
import { validators } from '../../generated/validators/schemas.js';
import { verifies } from '../http/verifies.ts';
import { cliNodes } from './node-under-test.ts';

const { newNode } = cliNodes();
const FLAGS = ['--trusted-proxy', 'loopback', '--tenant', 'tnt_acme', '--name', 'Acme Corp', '--admin', 'usr_ada'];

describe('agentos bootstrap', () => {
  it('sets a node up for prod with its first tenant, proves it, reports it, and may be repeated', verifies(['PRS-8.5-05', 'PRS-8.5-06'], async () => {
    const node = await newNode();
    const made = await node.agentos('bootstrap', '--json', ...FLAGS);
    expect(made.code, made.stderr).toBe(0);
    const report = JSON.parse(made.stdout) as Report;
    expect(validators.Report(report), JSON.stringify(validators.Report.errors)).toBe(true);
    expect(report).toMatchObject({ action: 'up', mode: 'prod', outcome: 'ok', seeded: { default_tenant_id: 'tnt_acme', tenant_admin_principal_id: 'usr_ada' } });
    expect(report.phases.map(({ name, status }) => `${name} ${status}`)).toEqual(['preflight', 'boot', 'seed', 'wire', 'validate', 'tenant', 'prove', 'report'].map((name) => `${name} ok`));
    expect(report.checks.filter(({ status }) => status !== 'passed')).toEqual([]);
    expect(report.checks.map(({ name }) => name)).toEqual(expect.arrayContaining(['a run completes, in a tenant made for it and removed']));
    expect(readdirSync(node.reports).filter((file) => file.startsWith('up-')).map((file) => path.extname(file)).sort()).toEqual(['.json', '.md']);

    const file = path.join(node.home, 'secrets', 'tnt_acme-admin.api-key');
    expect((statSync(file).mode & 0o777).toString(8)).toBe('600');
    expect(report.credentials).toContainEqual({ what: 'API key of the administrator of tnt_acme', where: file });
    const key = readFileSync(file, 'utf8').trim();
    expect(made.stdout + made.stderr).not.toContain(key);
    expect((await fetch(`${node.baseUrl}/v1/tenant`, { headers: { 'x-api-key': key } })).status).toBe(200);
    expect((await fetch(`${node.baseUrl}/v1/tenant`)).status).toBe(401);

    const again = await node.agentos('bootstrap', ...FLAGS);
    expect(again.code, again.stderr).toBe(0);
    expect(again.stderr).toContain('tnt_acme, usr_ada and a key were there');
    expect(readFileSync(file, 'utf8').trim(), 'the key is the same').toBe(key);
    Object.assign(node.env, { AGENTOS_API_KEY_FILE: file });
    const { keys } = JSON.parse((await node.agentos('keys', 'list', '--json')).stdout) as { keys: readonly { principal_id: string }[] };
    expect(keys.map(({ principal_id: principal }) => principal)).toEqual(['usr_ada']);
    delete (node.env as Record<string, string>)['AGENTOS_API_KEY_FILE'];

    // Its settings stand in the file: nothing has to be said again.
    const up = await node.agentos('up');
    expect(up.code, up.stderr).toBe(0);
    expect(up.stdout).toContain('tnt_acme, administered by usr_ada');
    const tenants = async (): Promise<readonly string[]> => (JSON.parse((await node.agentos('tenants', 'list', '--json')).stdout) as { tenants: readonly { tenant_id: string }[] }).tenants.map(({ tenant_id: id }) => id);
    await expect.poll(tenants, { timeout: 30_000, interval: 1_000 }).toEqual(['tnt_acme', 'tnt_platform']);
  }), 240_000);

  it('names everything that it was not told where nobody can be asked, and touches nothing', async () => {
    const node = await newNode();
    const result = await node.agentos('bootstrap', '--tenant', 'tnt acme');
    expect(result.code).toBe(2);
    for (const line of ['--trusted-proxy loopback: missing', "--tenant tnt_acme: a tenant's id must match pattern", '--admin usr_ada: missing']) expect(result.stderr).toContain(line);
    expect(existsSync(node.home)).toBe(false);
  }, 180_000);

  it('does not turn a trial into a node for customers', async () => {
    const node = await newNode();
    expect((await node.agentos('up')).code).toBe(0);
    const envFile = path.join(node.home, '.agentos.env');
    const before = readFileSync(envFile, 'utf8');
    const result = await node.agentos('bootstrap', ...FLAGS);
    expect(result.code).toBe(3);
    expect(result.stderr).toContain('brought up in demo');
    expect(result.stderr).toContain('next: npx agentos nuke --yes-really --hard');
    expect(readFileSync(envFile, 'utf8')).toBe(before);
    expect((await node.agentos('nuke', '--hard', '--yes-really')).code).toBe(0);
    const made = await node.agentos('bootstrap', ...FLAGS);
    expect(made.code, made.stderr).toBe(0);
  }, 240_000);
});
