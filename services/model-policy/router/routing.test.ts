/** Which model a plan tries, and what each attempt teaches the next plan. */
import { afterEach, describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import type { Tenant } from '../../../generated/types/index.ts';
import { AgentOsError, type ErrorCode } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { createLogger } from '../../platform/telemetry/logger.ts';
import { MemoryCanaryState } from '../adapters/canary-state-memory.ts';
import type { ProviderPort } from '../ports/provider.ts';
import { Canaries, shareOf } from './canaries.ts';
import { createCatalogue, type ModelEntry } from './catalogue.ts';
import { Circuit } from './circuit.ts';
import { createRouter, type RouteRequest } from './router.ts';
import { NO_ROUTING, type CanaryRule, type RoutingRules } from './routing-rules.ts';

const log = createLogger({ service: 'model-policy', level: 'silent' });
const idle = new AbortController().signal;
const tenant = (more: Partial<Tenant> = {}): Tenant => ({ tenant_id: 't', name: 't', status: 'active', plan_tier: 'demo', created_at: '', updated_at: '', ...more });
const authOf = (tenantId: string): AuthContext => ({ tenant_id: tenantId, principal: { principal_id: 'usr_1', principal_type: 'user' }, scopes: [] });
const entry = (modelId: string, more: Partial<ModelEntry> = {}): ModelEntry => ({ modelId, capabilities: ['chat'], tiers: ['balanced'], price: null, ...more });
const priced = (usd: number): Pick<ModelEntry, 'price'> => ({ price: { inputUsdPerMillion: usd, outputUsdPerMillion: usd } });
const canary = (more: Partial<CanaryRule> = {}): CanaryRule => ({
  name: 'next', model: 'good', canary: 'new', percent: 30, key: 'tenant', tenants: null, gates: { maxErrorRate: 0.2, maxP95Ms: null, minSamples: 20 }, isPaused: false, version: 'v1', ...more,
});

const open: Canaries[] = [];
afterEach(() => Promise.all(open.splice(0).map((each) => each.close())));

function setUp(routing: Partial<RoutingRules> = {}, store = new MemoryCanaryState()) {
  const provider = (backend: string): ProviderPort => ({ backend, node: backend }) as ProviderPort;
  const catalogue = createCatalogue([
    { provider: provider('one'), lastResort: false, models: [entry('good', { quality: 0.9, ...priced(10) }), entry('cheap', { quality: 0.4, ...priced(1) })] },
    { provider: provider('two'), lastResort: false, models: [entry('middle', { quality: 0.6, ...priced(5) }), entry('new', { tiers: [] }), entry('plain', { tiers: [], capabilities: ['chat'], isListed: true })] },
  ], { ...NO_ROUTING, ...routing });
  const circuits = new Map([['one', new Circuit()], ['two', new Circuit()]]);
  const canaries = new Canaries(store, log);
  open.push(canaries);
  void canaries.use(catalogue.routing.canaries);
  const router = createRouter({ backends: { catalogue, circuitOf: (name) => circuits.get(name) ?? null }, canaries });
  const plan = (modelRef: string, tenantId = 't', more: Partial<RouteRequest> = {}, who = tenant()) => router.plan(authOf(tenantId), who, { modelRef, operation: 'chat', requirements: {}, inputTokens: 10, maxOutputTokens: 10, agentId: null, ...more });
  const ids = (...args: Parameters<typeof plan>): string[] => plan(...args).models.map((model) => model.modelId);
  /** A call to whichever model the plan names first; fails with the code where there is one. */
  const call = async (modelRef: string, tenantId: string, failing: (model: string) => ErrorCode | null = () => null): Promise<string> => {
    const made = plan(modelRef, tenantId);
    const served = await router.serve(made, made.models, idle, async (model) => {
      const code = failing(model.modelId);
      if (code !== null) throw new AgentOsError(code, { message: code, retryAfterSeconds: 5 });
      return model.modelId;
    }, () => undefined);
    return served.answer;
  };
  return { router, canaries, circuits, catalogue, plan, ids, call };
}

describe('choice', () => {
  it('ranks a tier by quality, cost or measured latency, and says the score', verifies(['PRS-6.3-06'], () => {
    expect(setUp().ids('tier:balanced'), 'as configured').toEqual(['good', 'cheap', 'middle']);
    const byQuality = setUp({ choose: 'quality' });
    expect(byQuality.ids('tier:balanced')).toEqual(['good', 'middle', 'cheap']);
    const made = byQuality.plan('tier:balanced');
    expect(made.models.map((model) => made.scoreOf(model))).toEqual([0.9, 0.6, 0.4]);
    expect(setUp({ choose: 'cost' }).ids('tier:balanced')).toEqual(['cheap', 'middle', 'good']);
    const byLatency = setUp({ choose: 'latency' });
    for (const [model, ms] of [['good', 30], ['middle', 10]] as const) byLatency.router.latency.record(byLatency.catalogue.named(model)[0]!, ms);
    expect(byLatency.ids('tier:balanced'), 'one that was not measured lately is measured').toEqual(['cheap', 'middle', 'good']);
    byLatency.router.latency.record(byLatency.catalogue.named('cheap')[0]!, 20);
    expect(byLatency.ids('tier:balanced')).toEqual(['middle', 'cheap', 'good']);
  }));

  it('tries the chain of the file and nothing else, entitlements applied to it too', verifies(['PRS-6.3-07'], async () => {
    const chained = setUp({ choose: 'quality', fallback: new Map([['tier:balanced', ['good', 'new', 'cheap']], ['middle', ['cheap', 'good', 'new', 'plain']]]) });
    expect(chained.ids('tier:balanced')).toEqual(['good', 'new', 'cheap']);
    expect(chained.plan('tier:balanced').leftOut).toEqual([{ model: 'middle', backend: 'two', reason: 'not_in_fallback_chain' }]);
    expect(chained.ids('tier:balanced', 't', {}, tenant({ policy: { denied_models: ['new'] } }))).toEqual(['good', 'cheap']);
    expect(chained.ids('cheap'), 'a model by its id has the chain that is written for it').toEqual(['cheap']);
    expect(await chained.call('middle', 't', (model) => (model === 'plain' ? null : 'timeout')), 'as long as the chain is').toBe('plain');
  }));

  it("keeps a rule set's refusal from every model, those of chains and canaries too", () => {
    const { ids, plan } = setUp({ choose: 'quality', fallback: new Map([['tier:balanced', ['new', 'cheap']]]), canaries: [canary({ percent: 100, canary: 'plain' })] });
    const refusal = (model: { readonly backend: string }): string | null => (model.backend === 'two' ? 'region_not_allowed' : null);
    expect(ids('tier:balanced')).toEqual(['plain', 'good', 'new', 'cheap']);
    expect(ids('tier:balanced', 't', { refusal })).toEqual(['good', 'cheap']);
    expect(plan('tier:balanced', 't', { refusal }).leftOut.map((each) => [each.model, each.reason])).toEqual([['middle', 'region_not_allowed'], ['new', 'region_not_allowed'], ['plain', 'region_not_allowed']]);
    expect(() => plan('new', 't', { refusal })).toThrow(expect.objectContaining({ code: 'policy_blocked' }));
  });

  it('leaves a model that is listed without what the call needs', () => {
    const { ids, plan } = setUp();
    expect(ids('new', 't', { abilities: ['tools'] }), 'nobody said what it can do').toEqual(['new']);
    expect(() => plan('plain', 't', { abilities: ['tools'] })).toThrow(/meets the requirements/);
  });
});

describe('backends that are away', () => {
  it('leaves a backend whose circuit is open, and answers at once when all are', async () => {
    const { circuits, ids, plan } = setUp();
    for (let i = 0; i < 5; i += 1) circuits.get('one')!.ended('timeout');
    expect(ids('tier:balanced')).toEqual(['middle']);
    expect(plan('tier:balanced').leftOut.map((each) => each.reason)).toEqual(['circuit_open', 'circuit_open']);
    for (let i = 0; i < 5; i += 1) circuits.get('two')!.ended('timeout');
    expect(() => plan('tier:balanced')).toThrow(expect.objectContaining({ code: 'dependency_unavailable', details: { reason: 'circuit_open', backends: ['one', 'two'] }, retryAfterSeconds: expect.any(Number) }));
  });

  it('does not ask a model again before its backend said so, and puts one that failed its probe behind', async () => {
    const { call, ids, plan, circuits } = setUp();
    expect(await call('tier:balanced', 't', (model) => (model === 'good' ? 'rate_limited' : null))).toBe('cheap');
    expect(ids('tier:balanced')).toEqual(['cheap', 'middle']);
    expect(() => plan('good')).toThrow(expect.objectContaining({ code: 'rate_limited', retryAfterSeconds: 5 }));
    circuits.get('one')!.probed(false);
    expect(ids('tier:balanced')).toEqual(['middle', 'cheap']);
  });
});

describe('canaries', () => {
  it('gives its share of the keys the canary, each key always the same, and a growing share keeps them', verifies(['PRS-6.3-08'], () => {
    const tenants = Array.from({ length: 2_000 }, (_, index) => `tnt_${index}`);
    const arms = (percent: number): Set<string> => {
      const { ids } = setUp({ canaries: [canary({ percent })] });
      return new Set(tenants.filter((each) => ids('good', each)[0] === 'new'));
    };
    const [tenth, third] = [arms(10), arms(30)];
    expect(tenth.size / tenants.length).toBeCloseTo(0.1, 1);
    expect(third.size / tenants.length).toBeCloseTo(0.3, 1);
    expect([...tenth].filter((each) => !third.has(each))).toEqual([]);
    expect([arms(0).size, arms(100).size, [...arms(30)].join()]).toEqual([0, 2_000, [...third].join()]);
  }));

  it('goes by agent or principal within a tenant, and by the tenants that are named', verifies(['PRS-6.3-08'], () => {
    const { plan, ids } = setUp({ canaries: [canary({ key: 'agent', tenants: new Set(['t']) })] });
    const agents = Array.from({ length: 500 }, (_, index) => `agt_${index}`);
    const got = agents.filter((agentId) => ids('good', 't', { agentId })[0] === 'new');
    expect(got.length / agents.length).toBeCloseTo(0.3, 1);
    expect(got).toEqual(agents.filter((agentId) => shareOf('next', 't', agentId) < 30));
    expect(plan('good', 'other', { agentId: got[0]! }).canaryOf(null)).toBeNull();
    expect(ids('good', 'other', { agentId: got[0]! })).toEqual(['good']);
    expect(plan('good').choice, 'a call of no agent').toBeNull();
  }));

  it('has the model that it stands beside behind it, and never gives a tenant what it may not use', async () => {
    const { ids, call, plan } = setUp({ canaries: [canary({ percent: 100 })] });
    expect(ids('good')).toEqual(['new', 'good']);
    const made = plan('good');
    expect(made.models.map((model) => made.canaryOf(model))).toEqual([{ name: 'next', arm: 'canary' }, { name: 'next', arm: 'baseline' }]);
    expect(await call('good', 't', (model) => (model === 'new' ? 'timeout' : null))).toBe('good');
    expect(ids('good', 't', {}, tenant({ policy: { denied_models: ['new'] } }))).toEqual(['good']);
    expect(ids('cheap')).toEqual(['cheap']);
  });

  it('is rolled back by its error rate, at once here and soon in other processes, until its rule changes', verifies(['PRS-6.3-08'], async () => {
    const store = new MemoryCanaryState();
    const rules = { canaries: [canary({ percent: 100 })] };
    const [first, second] = [setUp(rules, store), setUp(rules, store)];
    const outcomes: string[] = [];
    for (let i = 0; i < 25; i += 1) outcomes.push(await first.call('good', `t${i}`, (model) => (model === 'new' && i % 3 === 0 ? 'internal_error' : null)).catch((error: AgentOsError) => error.code));
    expect(outcomes.slice(20), 'after its twentieth call').toEqual(Array(5).fill('good'));
    expect(first.canaries.read()[0]).toMatchObject({ state: 'rolled_back', reason: 'error_rate 0.35 > 0.2', canary: { samples: 20, errorRate: 0.35 } });
    await first.canaries.look();
    expect(second.ids('good')).toEqual(['new', 'good']);
    await second.canaries.look();
    expect(second.ids('good')).toEqual(['good']);
    expect(second.canaries.read()[0]).toMatchObject({ state: 'rolled_back', reason: 'error_rate 0.35 > 0.2' });
    await second.canaries.use([canary({ percent: 100, version: 'v2' })]);
    expect(second.canaries.read()[0]).toMatchObject({ state: 'active', canary: { samples: 0, errorRate: null, p95Ms: null } });
  }));

  it('is rolled back by its latency, and not by refusals of requests', async () => {
    const { canaries } = setUp({ canaries: [canary({ percent: 100, gates: { maxErrorRate: null, maxP95Ms: 100, minSamples: 10 } })] });
    const choice = canaries.choose('good', { tenantId: 't', agentId: null, principalId: 'p' })!;
    for (let i = 0; i < 19; i += 1) canaries.record(choice, 'canary', false, 50);
    canaries.record(choice, 'canary', false, 900);
    expect(canaries.read()[0]!.state, 'one in twenty may be slow').toBe('active');
    canaries.record(choice, 'canary', false, 900);
    expect(canaries.read()[0]).toMatchObject({ state: 'rolled_back', reason: 'p95_ms 900 > 100' });
    const other = setUp({ canaries: [canary({ percent: 100 })] });
    for (let i = 0; i < 30; i += 1) await other.call('good', 't', () => 'invalid_request').catch(() => undefined);
    expect(other.canaries.read()[0]).toMatchObject({ state: 'active', canary: { samples: 0 } });
  });

  it('is rolled back by hand, and goes on while the store is away', async () => {
    const away = new MemoryCanaryState();
    away.rolledBack = () => Promise.reject(new AgentOsError('dependency_unavailable', { message: 'away' }));
    const { canaries, ids } = setUp({ canaries: [canary({ percent: 100 })] }, away);
    await canaries.look();
    expect(ids('good')).toEqual(['new', 'good']);
    expect(await canaries.rollBack('nobody', 'x')).toBeNull();
    expect(await canaries.rollBack('next', 'by_hand usr_1')).toMatchObject({ state: 'rolled_back', reason: 'by_hand usr_1' });
    expect(ids('good')).toEqual(['good']);
  });
});
