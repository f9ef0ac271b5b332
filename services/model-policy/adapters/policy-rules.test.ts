import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { createDatabase, type Database } from '../../platform/db/pool.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { DEFAULT_RULES } from '../policy/default-rules.ts';
import { parseRules } from '../policy/parse-rules.ts';
import type { PolicyRuleSet } from '../ports/policy-rules.ts';
import { MODEL_POLICY_SCHEMA, modelPolicyMigrations } from './migrations/index.ts';
import { MemoryPolicyRules } from './policy-rules-memory.ts';
import { PostgresPolicyRules } from './policy-rules-postgres.ts';

const auth = (tenant_id: string): AuthContext => ({ tenant_id, principal: { principal_id: 'usr', principal_type: 'user' }, scopes: [] });
const STRICT: PolicyRuleSet = { policyId: 'pol_strict', pii: { email: 'block', card: 'redact' }, deniedTerms: ['falcon'] };

function suite(make: () => MemoryPolicyRules | PostgresPolicyRules): void {
  it('gives pol_default to everybody, by name and as the default', async () => {
    expect(await make().get(auth('tnt_a'), null)).toEqual(DEFAULT_RULES);
    expect(await make().get(auth('tnt_a'), 'pol_default')).toEqual(DEFAULT_RULES);
  });

  it('keeps rule sets to their tenant', async () => {
    const rules = make();
    await rules.put(auth('tnt_a'), STRICT);
    expect(await rules.get(auth('tnt_a'), 'pol_strict')).toEqual(STRICT);
    await expect(rules.get(auth('tnt_b'), 'pol_strict')).rejects.toMatchObject({ code: 'not_found', details: { reason: 'rule_set_not_found' } });
  });

  it('replaces a rule set, the default one too, and shows it at once', async () => {
    const rules = make();
    const own: PolicyRuleSet = { policyId: 'pol_default', pii: {}, deniedTerms: [] };
    await rules.get(auth('tnt_c'), null);
    await rules.put(auth('tnt_c'), own);
    expect(await rules.get(auth('tnt_c'), null)).toEqual(own);
    expect(await rules.get(auth('tnt_d'), null)).toEqual(DEFAULT_RULES);
  });
}

describe('MemoryPolicyRules', () => {
  const rules = new MemoryPolicyRules();
  suite(() => rules);
});

describe('PostgresPolicyRules', () => {
  let test: TestDatabase;
  let database: Database;
  beforeAll(async () => {
    test = await testDatabase({ migrations: [{ schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }] });
    database = await createDatabase({ url: test.url, applicationName: 'model-policy-test' });
  });
  afterAll(async () => {
    await database.close();
    await test.drop();
  });
  suite(() => new PostgresPolicyRules(database.pool));

  it('refuses to act on a stored rule set that it does not understand', async () => {
    const rules = new PostgresPolicyRules(database.pool);
    await rules.put(auth('tnt_e'), { ...STRICT, policyId: 'pol_odd', pii: { email: 'mask' as never } });
    await expect(rules.get(auth('tnt_e'), 'pol_odd')).rejects.toThrowError('/pii/email must be redact or block');
  });
});

describe('parseRules', () => {
  it.each([
    [null, '/ must be an object'],
    [{ pii: { emial: 'redact' } }, '/pii/emial is not known'],
    [{ denied_terms: 'x' }, '/denied_terms must be a list'],
    [{ deny: [] }, '/deny is not known'],
  ])('names what is wrong in %j', (value, message) => {
    expect(() => parseRules('pol_x', value)).toThrowError(message);
  });
});
