/** The node's own issuer: a key that only its owner reads, and tokens that its public half verifies. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileKeys } from './file-keys.ts';
import { IssuerSet } from './jwt-verifier.ts';
import { ensureLocalIssuer, issueLocalToken, LOCAL_ISSUER } from './local-issuer.ts';

let folder: string;
let files: { keyFile: string; jwksFile: string };
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'agentos-issuer-'));
  files = { keyFile: path.join(folder, 'issuer-key.json'), jwksFile: path.join(folder, 'issuer.jwks.json') };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const request = { audience: 'agentos', tenantId: 'tnt_demo', principalId: 'usr_ann', principalType: 'user' as const, scopes: ['runs:read'], roles: [], lifetimeSeconds: 60 };

describe('the local issuer', () => {
  it('keeps its key for its owner alone, publishes only the public half, and is made once', async () => {
    await ensureLocalIssuer(files);
    expect(statSync(files.keyFile).mode & 0o777).toBe(0o600);
    const before = readFileSync(files.keyFile, 'utf8');
    expect(readFileSync(files.jwksFile, 'utf8')).not.toContain(JSON.parse(before).d);
    chmodSync(files.keyFile, 0o644);
    await ensureLocalIssuer(files);
    expect(readFileSync(files.keyFile, 'utf8')).toBe(before);
    expect(statSync(files.keyFile).mode & 0o777).toBe(0o600);
  });

  it('signs tokens that its public half verifies, until its key is replaced', async () => {
    await ensureLocalIssuer(files);
    const source = fileKeys(files.jwksFile, null);
    const verifier = new IssuerSet([{ issuer: LOCAL_ISSUER, audience: 'agentos', algorithms: ['ES256'], keys: { source }, local: true }]);
    try {
      const { token, expiresAt } = await issueLocalToken(files.keyFile, request);
      expect(await verifier.verify(token)).toMatchObject({ tenant_id: 'tnt_demo', principal: { principal_id: 'usr_ann', principal_type: 'user' }, scopes: ['runs:read'] });
      expect(Date.parse(expiresAt)).toBeGreaterThan(Date.now());
      expect(verifier.claims(token)).toBe(true);
      expect(verifier.claims('a.b.c'), 'says nothing here').toBe(false);
      rmSync(files.keyFile);
      await ensureLocalIssuer(files);
      await expect.poll(() => verifier.recall(token), { timeout: 10_000 }).toBeNull();
      await expect(verifier.verify(token)).rejects.toMatchObject({ code: 'unauthorized' });
      expect(await verifier.verify((await issueLocalToken(files.keyFile, request)).token)).toMatchObject({ tenant_id: 'tnt_demo' });
    } finally {
      await source.close();
    }
  });

  it('says so when its key file holds none', async () => {
    await expect(issueLocalToken(files.keyFile, request)).rejects.toThrow(/does not exist/);
    writeFileSync(files.keyFile, '{}');
    await expect(ensureLocalIssuer(files)).rejects.toThrow(/holds no ES256 key/);
  });
});
