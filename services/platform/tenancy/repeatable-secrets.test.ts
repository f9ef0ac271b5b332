import { describe, expect, it } from 'vitest';
import { createApiKey, parseApiKey } from '../auth/api-key.ts';
import { createRepeatableSecrets, REPEAT_WINDOW_MS, type RepeatableSecrets } from './repeatable-secrets.ts';

const REQUEST = { tenantId: 'tnt_acme', issuer: 'usr_ada', idempotencyKey: 'idem_1' };
const SIGNING = 'a signing key of this node, long enough to be one';
const make = (secrets: RepeatableSecrets) => createApiKey({ tenantId: 'tnt_acme', principalId: 'svc_1', principalType: 'service', scopes: [], roles: ['tenant_service'] }, (keyId) => secrets.derive(REQUEST, keyId));

describe('a secret that can be asked for again', () => {
  it('is the same in every process that has the signing key, and for this request alone', () => {
    const { secret, record } = make(createRepeatableSecrets(SIGNING));
    const elsewhere = createRepeatableSecrets(() => [SIGNING]);
    expect(parseApiKey(secret)?.keyId).toBe(record.keyId);
    expect(elsewhere.recall(REQUEST, record, Date.now())).toBe(secret);
    for (const other of [{ tenantId: 'tnt_other' }, { issuer: 'usr_eve' }, { idempotencyKey: 'idem_2' }]) expect(elsewhere.recall({ ...REQUEST, ...other }, record, Date.now())).toBeNull();
    expect(elsewhere.recall(REQUEST, make(elsewhere).record, Date.now()), 'another key under the same request has another secret').not.toBe(secret);
    expect(createRepeatableSecrets('another signing key').recall(REQUEST, record, Date.now())).toBeNull();
    expect(createRepeatableSecrets(undefined).recall(REQUEST, record, Date.now())).toBeNull();
  });

  it('outlives a new signing key while the one before is known', () => {
    let keys = [SIGNING];
    const secrets = createRepeatableSecrets(() => keys);
    const { secret, record } = make(secrets);
    keys = ['the next signing key', SIGNING];
    expect(secrets.recall(REQUEST, record, Date.now())).toBe(secret);
    expect(secrets.derive(REQUEST, record.keyId)).not.toBe(secret.slice(-32));
    keys = ['the next signing key'];
    expect(secrets.recall(REQUEST, record, Date.now())).toBeNull();
  });

  it('is told no more when it was used, revoked, or an hour has gone by', () => {
    const secrets = createRepeatableSecrets(SIGNING);
    const { secret, record } = make(secrets);
    const madeMs = Date.parse(record.createdAt);
    expect(secrets.recall(REQUEST, record, madeMs + REPEAT_WINDOW_MS)).toBe(secret);
    expect(secrets.recall(REQUEST, record, madeMs + REPEAT_WINDOW_MS + 1)).toBeNull();
    expect(secrets.recall(REQUEST, { ...record, lastUsedAt: record.createdAt }, madeMs)).toBeNull();
    expect(secrets.recall(REQUEST, { ...record, revokedAt: record.createdAt }, madeMs)).toBeNull();
  });
});
