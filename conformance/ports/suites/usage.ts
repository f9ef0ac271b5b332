/** What every UsagePort must do: hold before, book after, and never grant more than there is (PRS 15.3, reliability: budgets). */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifies } from '../../http/verifies.ts';
import { windowStart } from '../../../services/model-policy/budgets/windows.ts';
import type { BudgetLimit, BudgetWindow, HoldRequest, UsageDraft, UsagePort } from '../../../services/model-policy/ports/usage.ts';
import type { AuthContext } from '../../../services/platform/tenancy/auth-context.ts';
import type { UsageHarness } from '../contract.ts';
import { expectCapabilities, pause } from '../fixtures.ts';

const SEED = Number(process.env['AGENTOS_PROPERTY_SEED'] ?? 20_260_101);
const limitOf = (maxTokens: number | null, maxCostMicroUsd: number | null = null, more: Partial<BudgetLimit> = {}): BudgetLimit => ({ scope: 'tenant', scopeId: '', window: 'day', maxTokens, maxCostMicroUsd, ...more });
const holdOf = (tokens: number, budgets: readonly BudgetLimit[], costMicroUsd: number | null = 0, ttlMs = 60_000): HoldRequest => ({ tokens, costMicroUsd, budgets, ttlMs });

export function draftOf(inputTokens: number, outputTokens: number, more: Partial<UsageDraft> = {}): UsageDraft {
  return {
    requestId: 'req_1', runId: null, agentId: null, principalId: 'usr_suite', operation: 'chat', model: 'model-a', backend: 'builtin', inputTokens, outputTokens,
    costMicroUsd: 0, state: 'settled', fallbackUsed: false, estimated: false, ...more,
  };
}

/** The harness, once it stands. */
type Under = () => UsageHarness;
const use = (under: Under): UsagePort => under().usage;
const only = async (under: Under, auth: AuthContext) => (await use(under).budgets(auth))[0]!;

async function held(under: Under, auth: AuthContext, hold: HoldRequest, port = use(under)): Promise<string> {
  const outcome = await port.reserve(auth, hold);
  if (outcome.outcome !== 'held') throw new Error(`Should have been held: ${JSON.stringify(outcome)}`);
  return outcome.holdId;
}

export function usageSuite(create: () => Promise<UsageHarness>): void {
  let harness: UsageHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());
  const under: Under = () => harness!;
  describe('the holding of budgets', () => holdCases(under));
  describe('the end of a hold', () => endCases(under));
  describe('windows and limits', () => windowCases(under));
  describe('budgets that no call has met', () => unmetCases(under));
  describe('decisions against a model', () => modelCases(under));
  describe('the ledger', () => ledgerCases(under));
  describe('request ids', () => claimCases(under));
  describe('requests a minute', () => rateCases(under));
}

function holdCases(under: Under): void {
  it('declares what it is', () => {
    expectCapabilities(use(under).capabilities());
  });

  it('holds, books what was used, and refuses what does not fit, with the whole account', verifies(['PRS-15.3-04', 'PRS-6.2-06'], async () => {
    const auth = await under().newTenant();
    const budgets = [limitOf(1_000)];
    const first = await held(under, auth, holdOf(600, budgets));
    expect(await use(under).reserve(auth, holdOf(500, budgets))).toMatchObject({ outcome: 'exceeded', reason: 'token_budget_exceeded', scope: 'tenant', window: 'day', limit: 1_000, spent: 0, reserved: 600, requested: 500 });
    expect(await use(under).settle(auth, first, draftOf(100, 50))).toBe(true);
    expect(await only(under, auth)).toMatchObject({ spentTokens: 150 });
    const second = await held(under, auth, holdOf(850, budgets));
    const refused = await use(under).reserve(auth, holdOf(1, budgets));
    expect(refused).toMatchObject({ outcome: 'exceeded', spent: 150, reserved: 850, requested: 1 });
    if (refused.outcome === 'exceeded') expect(refused.resetAtMs % 86_400_000).toBe(0);
    expect(await use(under).release(auth, second)).toBe(true);
    await use(under).release(auth, await held(under, auth, holdOf(850, budgets)));
  }));

  it('keeps dollars as it keeps tokens, and refuses a model without a price where dollars are limited', async () => {
    const auth = await under().newTenant();
    const budgets = [limitOf(null, 5_000, { window: 'hour' })];
    const hold = await held(under, auth, holdOf(1_000_000, budgets, 4_000));
    expect(await use(under).reserve(auth, holdOf(1, budgets, 1_001))).toMatchObject({ outcome: 'exceeded', reason: 'cost_budget_exceeded', limit: 5_000, reserved: 4_000, requested: 1_001 });
    await use(under).settle(auth, hold, draftOf(10, 10, { costMicroUsd: 4_500 }));
    expect(await use(under).reserve(auth, holdOf(1, budgets, 501))).toMatchObject({ outcome: 'exceeded', spent: 4_500 });
    expect(await use(under).reserve(auth, holdOf(1, budgets, null))).toMatchObject({ outcome: 'exceeded', reason: 'model_price_unknown', window: 'hour' });
    await use(under).release(auth, await held(under, auth, holdOf(1, [limitOf(100)], null)));
  });

  it('takes from all budgets of a call or from none', async () => {
    const auth = await under().newTenant();
    const narrow = limitOf(100, null, { scope: 'agent', scopeId: 'agt_1', window: 'minute' });
    const wide = limitOf(1_000);
    const hold = await held(under, auth, holdOf(60, [wide, narrow]));
    expect(await use(under).reserve(auth, holdOf(60, [wide, narrow]))).toMatchObject({ outcome: 'exceeded', scope: 'agent', scopeId: 'agt_1' });
    const rest = await held(under, auth, holdOf(940, [wide, limitOf(2_000, null, { scope: 'principal', scopeId: 'usr_9' })]));
    expect(await use(under).reserve(auth, holdOf(1, [wide]))).toMatchObject({ outcome: 'exceeded', reserved: 1_000 });
    await Promise.all([use(under).settle(auth, hold, draftOf(60, 0, { agentId: 'agt_1' })), use(under).release(auth, rest)]);
  });
}

function endCases(under: Under): void {
  it('ends a hold exactly once, however many try at once', async () => {
    const auth = await under().newTenant();
    const hold = await held(under, auth, holdOf(100, [limitOf(1_000)]));
    const ended = await Promise.all([...Array(8).keys()].map((index) => (index % 2 === 0 ? use(under).settle(auth, hold, draftOf(40, 10)) : use(under).release(auth, hold))));
    expect(ended.filter(Boolean)).toHaveLength(1);
    expect((await use(under).entries(auth, { limit: 10 })).entries.length + Number(ended.indexOf(true) % 2 === 1)).toBe(1);
    expect(await use(under).settle(auth, 'use_unknown', draftOf(1, 1))).toBe(false);
  });

  it('does not let one tenant end or see what is another\'s', verifies(['PRS-15.2-02', 'PRS-11.2-02'], async () => {
    const [owner, stranger] = [await under().newTenant(), await under().newTenant()];
    const hold = await held(under, owner, holdOf(100, [limitOf(100)]));
    expect(await use(under).settle(stranger, hold, draftOf(1, 1))).toBe(false);
    await use(under).release(stranger, await held(under, stranger, holdOf(100, [limitOf(100)])));
    await use(under).settle(owner, hold, draftOf(50, 50));
    expect((await use(under).entries(stranger, { limit: 10 })).entries).toEqual([]);
    expect(await use(under).byModel(stranger, {})).toEqual([]);
    expect((await use(under).budgets(stranger)).every((budget) => budget.spentTokens === 0)).toBe(true);
  }));

  it('books what is used beyond the hold, and refuses until the window ends', async () => {
    const auth = await under().newTenant();
    const budgets = [limitOf(100, null, { window: 'minute' })];
    await use(under).settle(auth, await held(under, auth, holdOf(50, budgets)), draftOf(90, 60));
    expect(await use(under).reserve(auth, holdOf(1, budgets))).toMatchObject({ outcome: 'exceeded', spent: 150, reserved: 0 });
  });

  it('gives back what nobody ended in time, and still books it late', async () => {
    const auth = await under().newTenant();
    const budgets = [limitOf(100)];
    const slow = await held(under, auth, holdOf(100, budgets, 0, 40));
    await pause(60);
    await use(under).expire();
    await expect.poll(async () => (await only(under, auth)).reservedTokens, { timeout: 3_000 }).toBe(0);
    const hold = await held(under, auth, holdOf(70, budgets));
    expect(await use(under).settle(auth, slow, draftOf(30, 0))).toBe(true);
    expect(await use(under).settle(auth, slow, draftOf(30, 0))).toBe(false);
    await use(under).settle(auth, hold, draftOf(70, 0));
    expect(await only(under, auth)).toMatchObject({ spentTokens: 100, reservedTokens: 0 });
  });
}

function windowCases(under: Under): void {
  it('begins anew with the next window, and books a late call to the window of its hold', verifies(['HLD-4.2-01'], async () => {
    const auth = await under().newTenant();
    const budgets = [limitOf(100, null, { window: 'hour' })];
    const late = await held(under, auth, holdOf(80, budgets));
    const before = (await only(under, auth)).windowStartMs;
    under().turnClock(3_600_000);
    const next = await held(under, auth, holdOf(100, budgets));
    expect((await only(under, auth)).windowStartMs).toBe(before + 3_600_000);
    await use(under).settle(auth, late, draftOf(70, 0));
    expect(await only(under, auth)).toMatchObject({ spentTokens: 0, reservedTokens: 100 });
    await use(under).settle(auth, next, draftOf(30, 0));
    under().turnClock(-3_600_000);
    expect(await only(under, auth)).toMatchObject({ windowStartMs: before, spentTokens: 70 });
  }));

  it('follows a limit that is lowered and raised while calls are under way', async () => {
    const auth = await under().newTenant();
    const hold = await held(under, auth, holdOf(100, [limitOf(1_000_000)]));
    expect(await use(under).reserve(auth, holdOf(10, [limitOf(105)]))).toMatchObject({ outcome: 'exceeded', limit: 105, reserved: 100 });
    const other = await held(under, auth, holdOf(5, [limitOf(105)]));
    await use(under).settle(auth, hold, draftOf(100, 0));
    await use(under).release(auth, other);
    expect(await use(under).reserve(auth, holdOf(10, [limitOf(50)]))).toMatchObject({ outcome: 'exceeded', limit: 50, spent: 100, reserved: 0 });
    await use(under).release(auth, await held(under, auth, holdOf(900, [limitOf(1_000)])));
  });

  it('counts what its window had seen before the budget was made', async () => {
    const auth = await under().newTenant();
    await use(under).settle(auth, await held(under, auth, holdOf(100, [])), draftOf(60, 20, { costMicroUsd: 7 }));
    expect(await use(under).reserve(auth, holdOf(21, [limitOf(100)]))).toMatchObject({ outcome: 'exceeded', spent: 80 });
    await use(under).release(auth, await held(under, auth, holdOf(20, [limitOf(100)])));
  });

  it('gives one process what another has set aside and does not need', async () => {
    const auth = await under().newTenant();
    const other = await under().another?.();
    try {
      const budgets = [limitOf(100_000)];
      await use(under).settle(auth, await held(under, auth, holdOf(100, budgets)), draftOf(50, 0));
      const all = await held(under, auth, holdOf(99_950, budgets), other?.usage ?? use(under));
      expect(await use(under).reserve(auth, holdOf(1, budgets))).toMatchObject({ outcome: 'exceeded', spent: 50, reserved: 99_950 });
      await (other?.usage ?? use(under)).release(auth, all);
    } finally {
      await other?.close();
    }
  });

  it('grants a budget for fifty to exactly fifty of three hundred at once', async () => {
    const auth = await under().newTenant();
    const other = await under().another?.();
    try {
      const ports = [use(under), other?.usage ?? use(under)];
      const outcomes = await Promise.all([...Array(300).keys()].map((index) => ports[index % 2]!.reserve(auth, holdOf(20, [limitOf(1_000)]))));
      expect(outcomes.filter((outcome) => outcome.outcome === 'held')).toHaveLength(50);
    } finally {
      await other?.close();
    }
  });
}

function unmetCases(under: Under): void {
  it('says what a budget that no call has met yet will begin with, and no more than once', async () => {
    const auth = await under().newTenant();
    const agent = { agentId: 'agt_1', principalId: 'usr_1' };
    const asked = [{ scope: 'tenant', scopeId: '', window: 'day' }, { scope: 'agent', scopeId: 'agt_1', window: 'month' }, { scope: 'principal', scopeId: 'usr_2', window: 'hour' }, { scope: 'tenant', scopeId: '', window: 'day' }] as const;
    await use(under).settle(auth, await held(under, auth, holdOf(100, [limitOf(1_000, null, { window: 'hour' })])), draftOf(60, 20, { ...agent, costMicroUsd: 7 }));
    const spent = async () => new Map((await use(under).budgets(auth, asked)).map((state) => [`${state.scope} ${state.scopeId} ${state.window}`, [state.spentTokens, state.spentMicroUsd]]));
    expect(await spent()).toEqual(new Map([['tenant  hour', [80, 7]], ['tenant  day', [80, 7]], ['agent agt_1 month', [80, 7]], ['principal usr_2 hour', [0, 0]]]));
    expect((await use(under).budgets(auth, asked)).length, 'each once').toBe(4);
    expect(await use(under).budgets(await under().newTenant(), asked), 'another tenant has seen nothing').toSatisfy((states: readonly { spentTokens: number }[]) => states.length === 3 && states.every(({ spentTokens }) => spentTokens === 0));
    const day = await held(under, auth, holdOf(100, [limitOf(1_000)]));
    expect((await use(under).budgets(auth, asked)).find(({ window }) => window === 'day')).toMatchObject({ spentTokens: 80 });
    await use(under).settle(auth, day, draftOf(10, 0, agent));
    expect((await spent()).get('tenant  day')).toEqual([90, 7]);
  });
}

function modelCases(under: Under): void {
  it('decides as a ledger kept by hand does, over every order of calls and processes', verifies(['PRS-15.3-04'], async () => {
    const other = await under().another?.();
    const ports = [use(under), other?.usage ?? use(under)];
    try {
      await fc.assert(fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 40 }), async (commands) => {
        await play(await under().newTenant(), ports, commands);
      }), { seed: SEED, numRuns: 25, endOnFailure: true });
    } finally {
      await other?.close();
    }
  }), 120_000);
}

function ledgerCases(under: Under): void {
  it('has a row a call, newest first, in pages', verifies(['HLD-5.3-01'], async () => {
    const auth = await under().newTenant();
    for (let index = 0; index < 5; index += 1) {
      await use(under).settle(auth, await held(under, auth, holdOf(10, [])), draftOf(index, 1, { requestId: `req_${index}`, runId: 'run_1', agentId: index % 2 === 0 ? 'agt_even' : null, costMicroUsd: index === 4 ? null : 3, state: index === 3 ? 'partial' : 'settled', estimated: index === 2 }));
    }
    const first = await use(under).entries(auth, { limit: 2 });
    expect([first.entries.map((entry) => entry.requestId), first.hasMore]).toEqual([['req_4', 'req_3'], true]);
    expect(first.entries[0]).toMatchObject({ inputTokens: 4, outputTokens: 1, costMicroUsd: null, runId: 'run_1', agentId: 'agt_even', principalId: 'usr_suite', operation: 'chat', model: 'model-a', backend: 'builtin', state: 'settled', fallbackUsed: false, estimated: false });
    const rest = await use(under).entries(auth, { limit: 10, before: first.entries[1]!.entryId });
    expect([rest.entries.map((entry) => entry.requestId), rest.hasMore]).toEqual([['req_2', 'req_1', 'req_0'], false]);
    expect((await use(under).entries(auth, { limit: 10, agentId: 'agt_even' })).entries).toHaveLength(3);
    expect((await use(under).entries(auth, { limit: 10, runId: 'run_2' })).entries).toHaveLength(0);
  }));

  it('sums by day and model, without what was released', async () => {
    const auth = await under().newTenant();
    const end = async (usageOf: UsageDraft) => use(under).settle(auth, await held(under, auth, holdOf(10, [])), usageOf);
    await end(draftOf(10, 5, { costMicroUsd: 2 }));
    await end(draftOf(1, 0, { costMicroUsd: null }));
    await end(draftOf(7, 7, { model: 'model-b', backend: 'vllm' }));
    await use(under).release(auth, await held(under, auth, holdOf(10, [])), draftOf(0, 0, { state: 'released' }));
    const sums = await use(under).byModel(auth, {});
    expect(sums.map(({ day: _day, ...sum }) => sum)).toEqual([
      { model: 'model-a', backend: 'builtin', requests: 2, inputTokens: 11, outputTokens: 5, costMicroUsd: 2 },
      { model: 'model-b', backend: 'vllm', requests: 1, inputTokens: 7, outputTokens: 7, costMicroUsd: 0 },
    ]);
    expect(sums[0]!.day).toMatch(/^\d{4}-\d{2}-\d{2}$/);
    expect(await use(under).byModel(auth, { model: 'model-b' })).toHaveLength(1);
    expect(await use(under).byModel(auth, { fromMs: Date.now() + 3_600_000 })).toEqual([]);
    expect((await use(under).entries(auth, { limit: 10 })).entries.map((entry) => entry.state)).toEqual(['released', 'settled', 'settled', 'settled']);
  });

  it('is seen by every process, and outlives them', verifies(['T08-01'], async ({ skip }: { skip: (note: string) => void }) => {
    const { another } = under();
    if (another === undefined) return skip('the adapter lives in one process');
    const auth = await under().newTenant();
    const other = await another();
    await other.usage.settle(auth, await held(under, auth, holdOf(100, [limitOf(1_000)]), other.usage), draftOf(60, 0));
    await other.close();
    const third = await another();
    expect(await third.usage.budgets(auth)).toMatchObject([{ spentTokens: 60, reservedTokens: 0 }]);
    expect((await third.usage.entries(auth, { limit: 10 })).entries).toHaveLength(1);
    await third.close();
  }));
}

function claimCases(under: Under): void {
  it('are claimed once, told apart by what they ask, and free again when the call came to nothing', async () => {
    const [auth, stranger] = [await under().newTenant(), await under().newTenant()];
    expect(await Promise.all([...Array(6).keys()].map(() => use(under).claim(auth, 'req_a', 'hash-1')))).toEqual(expect.arrayContaining(['claimed', 'open']));
    expect(await use(under).claim(auth, 'req_a', 'hash-2')).toBe('other_request');
    expect(await use(under).claim(stranger, 'req_a', 'hash-2')).toBe('claimed');
    await use(under).endClaim(auth, 'req_a', false);
    expect(await use(under).claim(auth, 'req_a', 'hash-2')).toBe('claimed');
    await use(under).endClaim(auth, 'req_a', true);
    expect(await use(under).claim(auth, 'req_a', 'hash-2')).toBe('done');
    expect(await use(under).claim(auth, 'req_a', 'hash-1')).toBe('other_request');
  });

  it('are claimed by one of many processes', async () => {
    const auth = await under().newTenant();
    const other = await under().another?.();
    const outcomes = await Promise.all([...Array(20).keys()].map((index) => (index % 2 === 0 ? use(under) : (other?.usage ?? use(under))).claim(auth, 'req_b', 'hash')));
    expect(outcomes.filter((outcome) => outcome === 'claimed')).toHaveLength(1);
    await other?.close();
  });
}

function rateCases(under: Under): void {
  it('lets as many through as there are, over all processes, and says when to come back', async () => {
    const auth = await under().newTenant();
    const other = await under().another?.();
    const verdicts = await Promise.all([...Array(60).keys()].map((index) => (index % 2 === 0 ? use(under) : (other?.usage ?? use(under))).takeRequest(auth, 20)));
    expect(verdicts.filter((verdict) => verdict.allowed)).toHaveLength(20);
    for (const verdict of verdicts) if (!verdict.allowed) expect(verdict.retryAfterMs).toBeGreaterThan(0);
    expect(await use(under).requestsUsed(auth, 20)).toBe(20);
    expect(await use(under).takeRequest(await under().newTenant(), 0)).toMatchObject({ allowed: false });
    await other?.close();
  });
}

type Command =
  | { readonly kind: 'reserve'; readonly port: number; readonly tokens: number; readonly cost: number; readonly budgets: readonly number[] }
  | { readonly kind: 'settle'; readonly pick: number; readonly tokens: number; readonly cost: number }
  | { readonly kind: 'release'; readonly pick: number };

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('reserve' as const), port: fc.nat(1), tokens: fc.nat(300), cost: fc.nat(90), budgets: fc.uniqueArray(fc.nat(3), { minLength: 1, maxLength: 4 }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('settle' as const), pick: fc.nat(50), tokens: fc.nat(300), cost: fc.nat(90) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('release' as const), pick: fc.nat(50) }) },
);

const BUDGETS: readonly BudgetLimit[] = [
  limitOf(1_200, null, { window: 'month' }), limitOf(900, 260, { window: 'day' }),
  limitOf(null, 200, { scope: 'agent', scopeId: 'agt_1', window: 'month' }), limitOf(700, 300, { scope: 'principal', scopeId: 'usr_1', window: 'day' }),
];

/** Runs the commands against the ports and against sums kept by hand. */
async function play(auth: AuthContext, ports: readonly UsagePort[], commands: readonly Command[]): Promise<void> {
  const model = BUDGETS.map(() => ({ spent: [0, 0], held: [0, 0], beyond: [0, 0] }));
  // A budget that is met later would begin with what its window has seen.
  const opening = await ports[0]!.reserve(auth, { tokens: 0, costMicroUsd: 0, budgets: BUDGETS, ttlMs: 60_000 });
  if (opening.outcome === 'held') await ports[0]!.release(auth, opening.holdId);
  const open: { readonly id: string; readonly port: UsagePort; readonly budgets: readonly number[]; readonly amounts: readonly [number, number] }[] = [];
  for (const each of commands) {
    if (each.kind === 'reserve') {
      const amounts = [each.tokens, each.cost] as const;
      const fits = each.budgets.every((index) => limits(index).every((limit, kind) => limit === null || model[index]!.spent[kind]! + model[index]!.held[kind]! + amounts[kind]! <= limit || amounts[kind] === 0));
      const outcome = await ports[each.port]!.reserve(auth, { tokens: each.tokens, costMicroUsd: each.cost, budgets: each.budgets.map((index) => BUDGETS[index]!), ttlMs: 60_000 });
      expect(outcome.outcome, JSON.stringify({ each, model, outcome })).toBe(fits ? 'held' : 'exceeded');
      if (outcome.outcome !== 'held') continue;
      open.push({ id: outcome.holdId, port: ports[each.port]!, budgets: each.budgets, amounts });
      for (const index of each.budgets) limits(index).forEach((limit, kind) => { if (limit !== null) model[index]!.held[kind]! += amounts[kind]!; });
    } else if (open.length > 0) {
      const [hold] = open.splice(each.pick % open.length, 1);
      if (each.kind === 'settle') await hold!.port.settle(auth, hold!.id, draftOf(each.tokens, 0, { costMicroUsd: each.cost }));
      else await hold!.port.release(auth, hold!.id);
      for (const index of hold!.budgets) {
        limits(index).forEach((limit, kind) => { if (limit !== null) model[index]!.held[kind]! -= hold!.amounts[kind]!; });
        if (each.kind !== 'settle') continue;
        [each.tokens, each.cost].forEach((amount, kind) => {
          model[index]!.spent[kind]! += amount;
          model[index]!.beyond[kind]! += Math.max(0, amount - (limits(index)[kind] === null ? 0 : hold!.amounts[kind]!));
        });
      }
    }
    expectSame(await ports[0]!.budgets(auth), model);
  }
  for (const { id, port } of open) await port.release(auth, id);
}

const limits = (index: number): readonly [number | null, number | null] => [BUDGETS[index]!.maxTokens, BUDGETS[index]!.maxCostMicroUsd];

function expectSame(budgets: Awaited<ReturnType<UsagePort['budgets']>>, model: readonly Readonly<Record<'spent' | 'held' | 'beyond', readonly number[]>>[]): void {
  for (const budget of budgets) {
    const index = BUDGETS.findIndex((each) => each.scope === budget.scope && each.window === (budget.window as BudgetWindow));
    const { spent, held, beyond } = model[index]!;
    expect(budget.windowStartMs).toBe(windowStart(budget.window, budget.windowStartMs));
    expect([budget.spentTokens, budget.spentMicroUsd]).toEqual(spent);
    // A process may have set aside more than its calls hold, and never so much that a limit would be passed: only what
    // calls used beyond their holds can do that.
    expect(budget.reservedTokens).toBeGreaterThanOrEqual(held[0]!);
    expect(budget.reservedMicroUsd).toBeGreaterThanOrEqual(held[1]!);
    limits(index).forEach((limit, kind) => {
      const total = kind === 0 ? budget.spentTokens + budget.reservedTokens : budget.spentMicroUsd + budget.reservedMicroUsd;
      if (limit !== null) expect(total).toBeLessThanOrEqual(limit + beyond[kind]!);
    });
  }
}
