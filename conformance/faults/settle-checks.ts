/** What a model call used is booked once: however many try to settle it, and whether or not the database's answer arrived. */
import assert from 'node:assert/strict';
import type { BudgetLimit, UsageDraft, UsagePort } from '../../services/model-policy/ports/usage.ts';
import { newId } from '../../services/platform/ids.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';
import { startPostgresProxy } from '../harness/postgres-proxy.ts';
import { freshTenant } from '../ports/fixtures.ts';
import type { Check } from './mutant-checks.ts';

const BUDGET: BudgetLimit = { scope: 'tenant', scopeId: '', window: 'day', maxTokens: 1_000_000, maxCostMicroUsd: null };
const USED: UsageDraft = {
  requestId: 'req_1', runId: null, agentId: null, principalId: 'usr_1', operation: 'chat', model: 'model-a', backend: 'builtin', inputTokens: 60, outputTokens: 40,
  costMicroUsd: null, state: 'settled', fallbackUsed: false, estimated: false,
};
const TOKENS = 100;

async function held(usage: UsagePort, tenant: AuthContext): Promise<string> {
  const outcome = await usage.reserve(tenant, { tokens: 500, costMicroUsd: 0, budgets: [BUDGET], ttlMs: 60_000 });
  return 'holdId' in outcome ? outcome.holdId : assert.fail(`it should have been held: ${outcome.reason}`);
}

async function booked(usage: UsagePort, tenant: AuthContext): Promise<readonly [spentTokens: number, entries: number]> {
  const [[budget], { entries }] = [await usage.budgets(tenant), await usage.entries(tenant, { limit: 100 })];
  return [budget!.spentTokens, entries.length];
}

export const SETTLE_CHECKS = {
  'a call is settled once, however many try': async (build, url) => {
    const { usage, close } = await build.openUsage(url);
    try {
      const tenant = freshTenant();
      for (let call = 1; call <= 4; call += 1) {
        const holdId = await held(usage, tenant);
        const ends = await Promise.all([1, 2, 3, 4].map((each) => (each === 4 ? usage.release(tenant, holdId) : usage.settle(tenant, holdId, USED)).catch((error: unknown) => error as Error)));
        assert.deepEqual(ends, [true, false, false, false], 'more than one was told that it had ended the call');
        assert.equal(await usage.settle(tenant, holdId, USED), false, 'a call that was settled was settled again');
        assert.deepEqual(await booked(usage, tenant), [call * TOKENS, call]);
      }
    } finally {
      await close();
    }
  },

  'a settlement whose commit went unanswered is booked once': async (build, url) => {
    const proxy = await startPostgresProxy(url);
    const { usage, close } = await build.openUsage(proxy.url);
    try {
      const tenant = freshTenant();
      const calls = 3;
      for (let call = 0; call < calls; call += 1) {
        const holdId = await held(usage, tenant);
        let lose = true;
        proxy.loseCommits(() => lose && !(lose = false));
        const end = await usage.settle(tenant, holdId, { ...USED, requestId: newId('req') }).catch((error: unknown) => error as Error);
        proxy.loseCommits(null);
        assert.equal(end, true, 'a call whose booking was committed was not settled');
      }
      assert.equal(proxy.lostCommits, calls, 'no commit was lost, so this proves nothing');
      assert.deepEqual(await booked(usage, tenant), [calls * TOKENS, calls], 'what a call used was booked again with the second attempt');
    } finally {
      await close();
      await proxy.close();
    }
  },
} satisfies Readonly<Record<string, Check>>;
