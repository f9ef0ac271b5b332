import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import { startVault, type VaultStub } from '../../../conformance/ports/vault-stub.ts';
import { VaultSecrets, type VaultSettings } from './secrets-vault.ts';

let vault: VaultStub;
const open: VaultSecrets[] = [];
beforeEach(async () => {
  vault = await startVault();
  vault.put('secret', 'agentos', { key: 'value', port: 5432 });
});
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
  await vault.close();
});

const NAME = 'secret/agentos#key';
function secretsOf(settings: Partial<VaultSettings> = {}): VaultSecrets {
  const secrets = new VaultSecrets({ address: vault.url, auth: { kind: 'token', token: () => vault.token }, retryMs: 5, timeoutMs: 1_000, ...settings });
  open.push(secrets);
  return secrets;
}
const approle = (secretId: string | (() => string) = 'sid'): VaultSettings['auth'] => ({ kind: 'approle', mount: 'approle', roleId: 'rid', secretId: typeof secretId === 'string' ? () => secretId : secretId });

describe('Vault', () => {
  it('answers fields of any scalar type, and the version that Vault counts', async () => {
    expect(await secretsOf().get(null, NAME)).toEqual({ value: 'value', version: '1' });
    expect(await secretsOf().get(null, 'secret/agentos#port')).toEqual({ value: '5432', version: '1' });
    vault.put('secret', 'agentos', { key: 'other' });
    expect(await secretsOf().get(null, NAME)).toEqual({ value: 'other', version: '2' });
  });

  it.each(['secret/../sys/seal#key', 'secret/./agentos#key', '../data/agentos#key', 'secret/agentos/..#key', 'secret//agentos#key'])('reads nothing outside its mount: %s', async (name) => {
    await expect(secretsOf().get(null, name)).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('logs in by AppRole once for all reads, and again when its token was revoked', verifies(['PRS-10.2-02'], async () => {
    vault.role('rid', 'sid');
    const secrets = secretsOf({ auth: approle() });
    await Promise.all(Array.from({ length: 10 }, () => secrets.get(null, NAME)));
    expect(vault.logins).toBe(1);
    vault.revokeAll();
    expect((await secrets.get(null, NAME)).value).toBe('value');
    expect(vault.logins).toBe(2);
  }));

  it('says that logging in failed, and tries anew the next time with the secret id of then', async () => {
    vault.role('rid', 'new');
    let secretId = 'old';
    const secrets = secretsOf({ auth: approle(() => secretId) });
    await expect(secrets.get(null, NAME)).rejects.toMatchObject({ code: 'forbidden', message: expect.stringMatching(/^Logging in to Vault by approle failed.+invalid role or secret ID/) as string });
    secretId = 'new';
    expect((await secrets.get(null, NAME)).value).toBe('value');
  });

  it('logs in with the service account of Kubernetes, whose token is read anew each time', async () => {
    const jwtFile = join(mkdtempSync(join(tmpdir(), 'agentos-jwt-')), 'token');
    const secrets = secretsOf({ auth: { kind: 'kubernetes', mount: 'kubernetes', role: 'agentos', jwtFile } });
    await expect(secrets.get(null, NAME)).rejects.toMatchObject({ code: 'forbidden', message: expect.stringContaining(jwtFile) as string });
    vault.kubernetesRole('agentos', 'jwt-2');
    writeFileSync(jwtFile, 'jwt-1');
    await expect(secrets.get(null, NAME)).rejects.toMatchObject({ code: 'forbidden' });
    writeFileSync(jwtFile, 'jwt-2\n');
    expect((await secrets.get(null, NAME)).value).toBe('value');
  });

  it('renews its token before it ends, and logs in when it can be renewed no more', async () => {
    vault.role('rid', 'sid', { leaseSeconds: 1, renewable: true });
    const renewing = secretsOf({ auth: approle() });
    await renewing.get(null, NAME);
    await expect.poll(() => vault.renewals, { timeout: 5_000 }).toBeGreaterThan(0);
    vault.role('rid', 'sid', { leaseSeconds: 1, renewable: false });
    const ending = secretsOf({ auth: approle() });
    await ending.get(null, NAME);
    const { logins } = vault;
    await expect.poll(async () => { await ending.get(null, NAME); return vault.logins; }, { timeout: 5_000, interval: 200 }).toBeGreaterThan(logins);
  });

  it('uses the token that stands in the file now', async () => {
    let token = 'hvs.old';
    const secrets = secretsOf({ auth: { kind: 'token', token: () => token } });
    await expect(secrets.get(null, NAME)).rejects.toMatchObject({ code: 'forbidden' });
    token = `${vault.token}\n`;
    expect((await secrets.get(null, NAME)).value).toBe('value');
  });

  it('names its namespace', async () => {
    vault.requireNamespace('team-a');
    await expect(secretsOf().get(null, NAME)).rejects.toMatchObject({ code: 'forbidden' });
    expect((await secretsOf({ namespace: 'team-a' }).get(null, NAME)).value).toBe('value');
  });

  it.each(['limited-once', 'fails-once'] as const)('tries again after an answer that %s', async (fault) => {
    vault.fault(fault);
    expect((await secretsOf().get(null, NAME)).value).toBe('value');
  });

  it('says what is wrong: sealed, deleted, not of the key-value engine, no form of a name', async () => {
    const secrets = secretsOf();
    vault.fault('sealed');
    await expect(secrets.get(null, NAME)).rejects.toMatchObject({ code: 'dependency_unavailable', retryable: true, details: { reason: 'vault_sealed' } });
    vault.fault(null);
    vault.remove('secret', 'agentos');
    await expect(secrets.get(null, NAME)).rejects.toMatchObject({ code: 'not_found' });
    await expect(secrets.get(null, 'auth/token/lookup-self#ttl')).rejects.toMatchObject({ code: 'not_found' });
    await expect(secrets.get(null, 'secret#key')).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('goes nowhere but to its server, whatever a path says', async () => {
    for (const name of ['secret/../../sys/seal-status#type', '../sys/health#x', 'secret/./a#b', 'secret//a#b']) await expect(secretsOf().get(null, name)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(secretsOf().get(null, 'secret/%2e%2e/x?y=1#z')).rejects.toMatchObject({ code: 'not_found' });
    expect(vault.requests.filter((each) => !each.startsWith('GET secret/data/') && each !== 'GET auth/token/lookup-self')).toEqual([]);
    expect(() => secretsOf({ address: 'file:///etc/passwd' })).toThrow(/http:\/\/ or https:\/\//);
    expect(() => secretsOf({ address: 'https://user:pw@vault' })).toThrow(/must not hold a user name/);
  });
});
