/** Keys of an issuer over HTTP, by a clock of the test's own: the figures are those of the defaults. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TokenIssuer, type ChangeToken } from '../../../conformance/harness/token-issuer.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { EgressClient } from '../egress/egress-client.ts';
import { EgressPolicy } from '../egress/egress-policy.ts';
import { IssuerSet } from './jwt-verifier.ts';
import { RemoteKeys } from './remote-keys.ts';

const HOUR_MS = 3_600_000;
let issuer: TokenIssuer;
let nowMs: number;
let keys: RemoteKeys;
let verifier: IssuerSet;

/** With the settings that a node has when nothing is set. */
function follow(options: { readonly jwksUri?: string | null; readonly allow?: readonly string[] } = {}): void {
  const egress = new EgressClient({ policy: new EgressPolicy({ allow: options.allow ?? [new URL(issuer.url).host] }) });
  keys = new RemoteKeys({ issuer: issuer.url, jwksUri: options.jwksUri ?? null, egress, cooldownMs: 30_000, maxAgeMs: 300_000, log: null, now: () => nowMs });
  verifier = new IssuerSet([{ issuer: issuer.url, audience: 'agentos', algorithms: ['ES256', 'RS256'], keys: { source: keys } }], { now: () => nowMs });
}

beforeEach(async () => {
  nowMs = Date.now();
  issuer = await new TokenIssuer().start();
  follow();
});
afterEach(async () => {
  await keys.close();
  await issuer.close();
});

/** Tokens that last as long as the test's clock may go. */
const long: ChangeToken = (jwt) => jwt.setExpirationTime('2d');
const accepted = async (token: string): Promise<boolean> => verifier.verify(token).then(() => true, (error: { code: string }) => {
  if (error.code !== 'unauthorized') throw error;
  return false;
});

describe('keys of an issuer', () => {
  it('are found by its discovery document and read once for many tokens', verifies(['PRS-10.1-06'], async () => {
    expect(await verifier.verify(await issuer.token())).toMatchObject({ tenant_id: 'tnt_demo', principal: { principal_id: 'usr_ann' } });
    await Promise.all(Array.from({ length: 20 }, async (_, index) => verifier.verify(await issuer.token({ n: index }))));
    expect(issuer.asked).toEqual({ '/.well-known/openid-configuration': 1, '/keys': 1 });
  }));

  it('that are new are accepted within 35 s, and those withdrawn refused within 10 min, remembered tokens too', verifies(['PRS-15.4-03'], async () => {
    const before = await issuer.token({}, { change: long });
    expect(await accepted(before)).toBe(true);
    expect(verifier.recall(before)).not.toBeNull();
    const next = await issuer.newKey('second');
    issuer.published = [next];
    const after = await issuer.token({}, { change: long });
    expect(await accepted(after), 'within the cooldown of the first read').toBe(false);
    nowMs += 35_000;
    expect(await accepted(after)).toBe(true);
    expect(await accepted(before), 'its key is withdrawn').toBe(false);
    expect(verifier.recall(before)).toBeNull();
  }));

  it('that are withdrawn without a new one in sight are refused all the same', async () => {
    const spare = await issuer.newKey('spare');
    issuer.published = [...issuer.published, spare];
    const before = await issuer.token({}, { change: long });
    expect(await accepted(before)).toBe(true);
    issuer.published = [spare];
    nowMs += 600_000;
    expect(await accepted(before)).toBe(false);
  });

  it('are not taken for another that has come under the same id', async () => {
    const before = await issuer.token({}, { change: long });
    expect(await accepted(before)).toBe(true);
    issuer.published = [await issuer.newKey('first')];
    nowMs += 600_000;
    expect(await accepted(before)).toBe(false);
    expect(await accepted(await issuer.token({}, { change: long }))).toBe(true);
  });

  it('are read once a cooldown for a thousand ids that nobody knows', async () => {
    expect(await accepted(await issuer.token())).toBe(true);
    for (let round = 1; round <= 3; round += 1) {
      nowMs += 30_001;
      const unknown = await Promise.all(Array.from({ length: 1_000 }, (_, index) => issuer.token({}, { header: { kid: `unknown-${round}-${index}` } })));
      expect((await Promise.all(unknown.map(accepted))).some(Boolean)).toBe(false);
      expect(issuer.asked['/keys']).toBe(1 + round);
    }
  });

  it('go on for a day while the issuer is away, which is told; then no more', async () => {
    const known = await issuer.token({}, { change: long });
    expect(await accepted(known)).toBe(true);
    issuer.away = true;
    for (const hours of [0.1, 1, 20]) {
      nowMs += hours * HOUR_MS;
      expect(await accepted(known), `after ${hours} h more`).toBe(true);
    }
    expect(keys.state()).toMatchObject({ keys: 1, failing: true });
    const other = await issuer.token({}, { header: { kid: 'not-known' } });
    await expect(verifier.verify(other), 'nobody can say').rejects.toMatchObject({ code: 'dependency_unavailable' });
    issuer.away = false;
    nowMs += 35_000;
    expect(await accepted(known)).toBe(true);
    await keys.refresh();
    expect(keys.state()).toMatchObject({ keys: 1, failing: false });
    issuer.away = true;
    nowMs += 25 * HOUR_MS;
    await expect(verifier.verify(known)).rejects.toMatchObject({ code: 'dependency_unavailable' });
    expect(keys.state()).toMatchObject({ keys: 0, failing: true });
  });

  it('that could never be read are asked for again within a second or so', async () => {
    issuer.away = true;
    const token = await issuer.token();
    await expect(verifier.verify(token)).rejects.toMatchObject({ code: 'dependency_unavailable', details: { service: 'jwks' } });
    issuer.away = false;
    nowMs += 1_001;
    expect(await accepted(token)).toBe(true);
  });

  it('survive an answer without any key, which is more likely a fault than a last word', async () => {
    const known = await issuer.token({}, { change: long });
    expect(await accepted(known)).toBe(true);
    issuer.published = [];
    nowMs += 600_000;
    expect(await accepted(known)).toBe(true);
    expect(keys.state()).toMatchObject({ failing: true });
  });
});

describe('a discovery document', () => {
  const refused = async (): Promise<void> => {
    await expect(verifier.verify(await issuer.token())).rejects.toMatchObject({ code: 'dependency_unavailable' });
  };

  it('of another issuer is not gone by', async () => {
    issuer.discovery = { issuer: 'https://evil.test' };
    await refused();
    expect(issuer.asked['/keys']).toBeUndefined();
  });

  it('that names no keys is not gone by', async () => {
    issuer.discovery = { jwks_uri: 7 };
    await refused();
  });

  it.each(['file:///etc/passwd', 'http://169.254.169.254/latest', 'http://localhost:1/keys', 'http://10.0.0.1/keys'])('leads nowhere that the operator has not named: %s', async (jwks_uri) => {
    issuer.discovery = { jwks_uri };
    await refused();
    expect(keys.state().keys).toBe(0);
  });

  it('is asked for at a private address only where that is named', async () => {
    await keys.close();
    follow({ allow: [] });
    await refused();
    expect(issuer.asked).toEqual({});
  });
});

describe('keys of other kinds', () => {
  it('are never used: symmetric, for encryption, private, or without an id', async () => {
    const [good] = issuer.published;
    const { kid: _kid, ...nameless } = good!.jwk;
    const foreign = await issuer.newKey('enc');
    const shown = await issuer.newKey('shown');
    issuer.published = [
      good!,
      { ...good!, kid: 'oct', jwk: { kty: 'oct', k: Buffer.from('secret'.repeat(8)).toString('base64url'), kid: 'oct' } },
      { ...foreign, jwk: { ...foreign.jwk, use: 'enc' } },
      { ...shown, jwk: { ...shown.jwk, d: 'AAAA' } },
      { ...good!, jwk: nameless },
    ];
    expect(await accepted(await issuer.token())).toBe(true);
    for (const key of issuer.published.slice(1, 4)) expect(await accepted(await issuer.token({}, { key: { ...key, privateKey: good!.privateKey } }))).toBe(false);
    expect(await accepted(await issuer.token({}, { key: foreign }))).toBe(false);
    expect(keys.state().keys).toBe(1);
  });
});
