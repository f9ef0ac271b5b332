/** What each mode lets `agentos up` do, and what it leaves behind: files and environments that hold secrets, HTTPS, the first key of prod. */
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CliStatus } from '../../generated/types/index.ts';
import { makeCertificate } from '../harness/certificate.ts';
import { startVault } from '../ports/vault-stub.ts';
import { startTestPostgres } from '../../scripts/lib/postgres/index.ts';
import { verifies } from '../http/verifies.ts';
import { cliNodes } from './node-under-test.ts';

const { newNode, atEnd } = cliNodes();

/** Folders and files below a folder, by octal mode. */
const modesIn = (folder: string): Record<string, string> => Object.fromEntries(['.', ...readdirSync(folder)].map((name) => [name, (statSync(path.join(folder, name)).mode & 0o777).toString(8)]));

describe('agentos up --mode prod', () => {
  it('names everything that is unsafe at once, what to set instead, and starts nothing', verifies(['PRS-10-06', 'PRS-8.1-08'], async () => {
    const peersFile = path.join(mkdtempSync(path.join(tmpdir(), 'agentos-peers-')), 'peers.json');
    writeFileSync(peersFile, JSON.stringify({ peers: [{ stack_id: 'stk_b' }] }));
    const node = await newNode({ env: { AGENTOS_DEFAULT_TENANT: 'tnt_demo', AGENTOS_IMPLICIT_AGENTS: 'on', AGENTOS_METRICS_REQUIRE_AUTH: 'off', OPENAI_API_KEY: 'sk-canary-1', AGENTOS_PEERS_FILE: peersFile } });
    const up = await node.agentos('up', '--mode', 'prod');
    expect(up.code, up.stderr).toBe(3);
    expect(up.stderr).toContain('prod refuses 6 unsafe settings');
    for (const variable of ['AGENTOS_DEFAULT_TENANT', 'AGENTOS_IMPLICIT_AGENTS', 'AGENTOS_METRICS_REQUIRE_AUTH', 'OPENAI_API_KEY', 'AGENTOS_TLS_CERT_FILE', 'AGENTOS_PEERS_FILE']) {
      expect(up.stderr).toMatch(new RegExp(`^ {2}${variable} .+ (Unset|Set|Put)`, 'm'));
    }
    expect(up.stderr, 'it would make the first key itself').not.toContain('AGENTOS_JWT_ISSUER');
    expect(up.stdout + up.stderr).not.toContain('canary');
    expect(existsSync(path.join(node.home, 'postgres'))).toBe(false);
    expect(readdirSync(path.join(node.home, 'state')).filter((file) => file.endsWith('.json'))).toEqual([]);
  }), 180_000);

  it('comes up behind a proxy with a first key, and leaves no secret where others could read it', verifies(['PRS-10-06', 'PRS-10.2-01', 'PRS-10.2-02', 'PRS-8.1-08', 'PRS-10-07'], async () => {
    const node = await newNode({ env: { AGENTOS_TRUSTED_PROXY: 'loopback' } });
    const up = await node.agentos('up', '--mode', 'prod');
    expect(up.code, up.stderr).toBe(0);
    const secrets = path.join(node.home, 'secrets');
    const key = readFileSync(path.join(secrets, 'platform-admin.api-key'), 'utf8').trim();
    expect(up.stderr).toContain(path.join(secrets, 'platform-admin.api-key'));
    expect(up.stdout + up.stderr).not.toContain(key);
    const { '.': folder, ...files } = modesIn(secrets);
    expect(folder).toBe('700');
    expect(Object.keys(files)).toEqual(expect.arrayContaining(['signing-key', 'database-url', 'platform-admin.api-key']));
    expect(new Set(Object.values(files))).toEqual(new Set(['600']));
    const values = Object.keys(files).map((file) => readFileSync(path.join(secrets, file), 'utf8').trim());
    for (const service of ['agent-orchestrator', 'model-policy', 'federation']) {
      const environment = readFileSync(`/proc/${node.pidOf(service)}/environ`, 'utf8');
      const log = readFileSync(path.join(node.home, 'logs', `${service}.log`), 'utf8');
      for (const value of values) expect(environment.includes(value) || log.includes(value), `${service} shows a secret`).toBe(false);
    }
    expect((await fetch(`${node.baseUrl}/v1/runs`, { headers: { 'x-tenant-id': 'tnt_demo' } })).status).toBe(401);
    expect((await fetch(`${node.baseUrl}/metrics`)).status).toBe(401);
    // Its key is one of a platform operator: administration has a listener of its own.
    const admin = `http://127.0.0.1:${Number(new URL(node.baseUrl).port) + 10}`;
    const tenants = await fetch(`${admin}/v1/admin/tenants`, { headers: { 'x-api-key': key } });
    expect(tenants.status).toBe(200);
    expect((await fetch(`${node.baseUrl}/v1/admin/tenants`, { headers: { 'x-api-key': key } })).status).toBe(404);

    const validated = await node.agentos('validate');
    expect([validated.code, validated.stdout], 'without a tenant of its own').toEqual([0, expect.stringContaining('passed   metrics are served')]);

    const audit = await node.agentos('audit', 'list', '-n', '1');
    expect(audit.code, audit.stderr).toBe(0);

    chmodSync(path.join(secrets, 'signing-key'), 0o644);
    const open = await node.agentos('up', '--mode', 'prod');
    expect(open.code).toBe(3);
    expect(open.stderr).toContain(`chmod 600 ${path.join(secrets, 'signing-key')}`);
    const elsewhere = await node.agentos('up', '--mode', 'dev');
    expect(elsewhere.code, elsewhere.stderr).toBe(0);
    expect(elsewhere.stderr).toMatch(/warning: .+signing-key .+ may be read by others \(mode 0644\)/);
  }), 180_000);

  it('takes the address of its database from Vault, for itself and for the services', verifies(['PRS-10.2-02'], async () => {
    const server = await startTestPostgres();
    atEnd(() => server.stop());
    const vault = await startVault();
    atEnd(() => vault.close());
    vault.put('secret', 'agentos', { url: server.url });
    const node = await newNode({ env: { AGENTOS_TRUSTED_PROXY: 'loopback', VAULT_ADDR: vault.url, DATABASE_URL: 'vault://secret/agentos#url' } });
    const tokenFile = path.join(path.dirname(node.home), 'vault-token');
    writeFileSync(tokenFile, vault.token, { mode: 0o600 });
    (node.env as Record<string, string>)['VAULT_TOKEN_FILE'] = tokenFile;
    const up = await node.agentos('up', '--mode', 'prod');
    expect(up.code, up.stderr).toBe(0);
    const password = new URL(server.url).password;
    const status = await node.agentos('status', '--json');
    expect((JSON.parse(status.stdout) as CliStatus).services[0]).toMatchObject({ name: 'postgres', state: 'external' });
    for (const service of ['agent-orchestrator', 'model-policy', 'federation']) expect(readFileSync(`/proc/${node.pidOf(service)}/environ`, 'utf8')).not.toContain(password);
    expect(up.stdout + up.stderr + status.stdout).not.toContain(password);
    // Only the service that needs it asks for it, and says what is wrong with the reference.
    (node.env as Record<string, string>)['OPENAI_API_KEY'] = 'vault://secret/agentos#missing';
    const misnamed = await node.agentos('up', '--mode', 'prod');
    expect(misnamed.code, misnamed.stderr).toBe(3);
    expect(misnamed.stderr).toMatch(/OPENAI_API_KEY \(vault: vault:\/\/secret\/agentos#missing\).+has no field/);
    delete (node.env as Record<string, string>)['OPENAI_API_KEY'];
    vault.fault('sealed');
    const sealed = await node.agentos('status');
    expect(sealed.code).toBe(4);
    expect(sealed.stderr).toMatch(/DATABASE_URL \(vault: vault:\/\/secret\/agentos#url\).+sealed/);
    expect((await node.agentos('version')).code).toBe(0);
    vault.fault(null);
  }), 180_000);
});

describe('agentos up --mode dev with a certificate', () => {
  it('serves HTTPS alone, on every service, and the command line finds it', verifies(['PRS-8.1-08'], async () => {
    const node = await newNode();
    const folder = path.dirname(node.home);
    const { cert, key, authority } = await makeCertificate();
    const [certFile, keyFile, authorityFile] = [path.join(folder, 'tls.crt'), path.join(folder, 'tls.key'), path.join(folder, 'authority.crt')];
    writeFileSync(certFile, cert);
    writeFileSync(authorityFile, authority);
    writeFileSync(keyFile, key, { mode: 0o600 });
    Object.assign(node.env, { AGENTOS_TLS_CERT_FILE: certFile, AGENTOS_TLS_KEY_FILE: keyFile, NODE_EXTRA_CA_CERTS: authorityFile });
    const up = await node.agentos('up', '--mode', 'dev');
    expect(up.code, up.stderr).toBe(0);
    expect(up.stdout).toContain(node.baseUrl.replace('http:', 'https:'));
    await expect(fetch(`${node.baseUrl}/healthz`)).rejects.toThrow();
    const status = JSON.parse((await node.agentos('status', '--json')).stdout) as CliStatus;
    for (const service of status.services.filter((each) => each.name !== 'postgres')) expect(service).toMatchObject({ state: 'ready', url: expect.stringMatching(/^https:/) as string });
  }), 180_000);
});

describe('agentos up --mode demo', () => {
  it('binds this machine alone', verifies(['PRS-8.1-08', 'PRS-10-06'], async () => {
    const node = await newNode({ env: { AGENTOS_HOST: '0.0.0.0' } });
    const up = await node.agentos('up');
    expect(up.code).toBe(3);
    expect(up.stderr).toMatch(/AGENTOS_HOST is 0\.0\.0\.0; demo mode trusts headers/);
  }), 180_000);
});
