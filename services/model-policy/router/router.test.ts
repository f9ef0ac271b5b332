import { describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import type { Tenant } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { ProviderPort } from '../ports/provider.ts';
import { costUsd, findCandidates, type RouteNeed } from './candidates.ts';
import { createCatalogue, type CatalogueModel, type ModelEntry } from './catalogue.ts';
import { callWithFallback, type Attempt } from './fallback.ts';
import { LatencyBook } from './latency.ts';
import { parseModelList } from './model-list.ts';

const provider = (backend: string): ProviderPort => ({ backend, node: backend }) as ProviderPort;
const entry = (modelId: string, more: Partial<ModelEntry> = {}): ModelEntry => ({ modelId, capabilities: ['chat'], tiers: ['balanced'], price: null, contextWindowTokens: 8000, ...more });

const catalogue = createCatalogue([
  { provider: provider('openai'), lastResort: false, models: [entry('gpt', { price: { inputUsdPerMillion: 2, outputUsdPerMillion: 8 }, aliases: ['the-big-one'] }), entry('gpt-mini', { tiers: ['fast'], contextWindowTokens: 2000 }), entry('vec', { capabilities: ['embed'], tiers: ['fast', 'balanced', 'premium'] })] },
  { provider: provider('vllm'), lastResort: false, models: [entry('qwen', { contextWindowTokens: 32000, price: { inputUsdPerMillion: 0, outputUsdPerMillion: 0 } }), entry('lora', { tiers: [] })] },
  { provider: provider('builtin'), lastResort: true, models: [entry('builtin', { tiers: ['fast', 'balanced', 'premium'], contextWindowTokens: 100_000, price: { inputUsdPerMillion: 0, outputUsdPerMillion: 0 } })] },
]);
const tenant = (more: Partial<Tenant> = {}): Tenant => ({ tenant_id: 't', name: 't', status: 'active', plan_tier: 'demo', created_at: '', updated_at: '', ...more });
const need = (modelRef: string, more: Partial<RouteNeed> = {}): RouteNeed => ({ modelRef, operation: 'chat', requirements: {}, inputTokens: 100, maxOutputTokens: null, ...more });
const ids = (reference: RouteNeed, who = tenant(), latency = new LatencyBook()): string[] => findCandidates(catalogue, who, reference, latency).models.map((model) => model.modelId);

function refusal(act: () => unknown): AgentOsError {
  try {
    act();
  } catch (error) {
    return error as AgentOsError;
  }
  throw new Error('nothing was thrown');
}

describe('findCandidates', () => {
  it('resolves tiers in the order of preference, and ids, aliases and backend/id exactly', () => {
    expect(ids(need('tier:balanced'))).toEqual(['gpt', 'qwen']);
    expect(ids(need('gpt'))).toEqual(['gpt']);
    expect(ids(need('the-big-one'))).toEqual(['gpt']);
    expect(ids(need('vllm/qwen'))).toEqual(['qwen']);
    expect(ids(need('tier:balanced', { operation: 'embed' }))).toEqual(['vec']);
  });

  it('takes the last resort only where nothing else serves the tier', () => {
    expect(ids(need('tier:premium'))).toEqual(['builtin']);
    expect(ids(need('tier:fast'))).toEqual(['gpt-mini']);
    expect(ids(need('tier:fast'), tenant({ entitlements: { model_backends_allowed: ['builtin'] } }))).toEqual(['builtin']);
    expect(ids(need('builtin'))).toEqual(['builtin']);
  });

  it('holds entitlements: absent allows all, empty allows nothing, the built-in backend included', () => {
    expect(ids(need('tier:balanced'), tenant({ entitlements: { model_backends_allowed: ['vllm'] } }))).toEqual(['qwen']);
    for (const entitlements of [{ model_backends_allowed: [] }, { model_tiers_allowed: [] }, { model_tiers_allowed: ['fast'] }]) {
      const error = refusal(() => ids(need('tier:balanced'), tenant({ entitlements })));
      expect(error.code).toBe('policy_blocked');
      expect(error.details['policy_outcome']).toMatchObject({ decision: 'blocked', redactions: [] });
    }
    expect(refusal(() => ids(need('gpt'), tenant({ entitlements: { model_tiers_allowed: ['fast'] } }))).details['reason']).toBe('tier_not_entitled');
    expect(ids(need('lora'), tenant({ entitlements: { model_tiers_allowed: ['fast'] } }))).toEqual(['lora']);
  });

  it('lets a denial beat an allowance', () => {
    expect(ids(need('tier:balanced'), tenant({ policy: { allowed_models: ['gpt', 'qwen'], denied_models: ['the-big-one'] } }))).toEqual(['qwen']);
    expect(refusal(() => ids(need('gpt'), tenant({ policy: { allowed_models: ['qwen'] } }))).details['reason']).toBe('model_not_allowed');
    expect(refusal(() => ids(need('gpt'), tenant({ policy: { allowed_models: [] } }))).code).toBe('policy_blocked');
  });

  it('holds requirements and says what each model lacks', () => {
    expect(ids(need('tier:balanced', { requirements: { min_context_tokens: 10_000 } }))).toEqual(['qwen']);
    expect(ids(need('tier:balanced', { inputTokens: 9_000 }))).toEqual(['qwen']);
    expect(ids(need('tier:balanced', { requirements: { max_cost_usd: 0.001 }, maxOutputTokens: 1000 }))).toEqual(['qwen']);
    expect(ids(need('tier:balanced', { requirements: { max_cost_usd: 0.01 }, maxOutputTokens: 1000 }))).toEqual(['gpt', 'qwen']);
    const error = refusal(() => ids(need('lora', { requirements: { max_cost_usd: 5 } })));
    expect(error.code).toBe('conflict');
    expect(error.details).toMatchObject({ reason: 'requirements_unmet', left_out: [{ model: 'lora', backend: 'vllm', reason: 'price_unknown' }] });
    expect(ids(need('tier:premium', { inputTokens: 50_000 }))).toEqual(['builtin']);
  });

  it('leaves a model out that has been too slow lately, and tries it again after a minute', () => {
    let now = 0;
    const book = new LatencyBook(() => now);
    book.record(catalogue.named('gpt')[0]!, 900);
    const wanted = need('tier:balanced', { requirements: { max_latency_ms: 500 } });
    expect(ids(wanted, tenant(), book)).toEqual(['qwen']);
    now = 60_001;
    expect(ids(wanted, tenant(), book)).toEqual(['gpt', 'qwen']);
  });

  it.each(['tier:huge', 'nope', 'openai/qwen', '__proto__'])('does not know %s', (reference) => {
    expect(refusal(() => ids(need(reference)))).toMatchObject({ code: 'not_found', details: { reason: 'model_not_found' } });
  });

  it('prices a call', () => {
    expect(costUsd(catalogue.named('gpt')[0]!, 1_000_000, 500_000)).toBe(6);
    expect(costUsd(catalogue.named('lora')[0]!, 1, 1)).toBeNull();
  });

  it('chooses by quality, cost and latency at once: the tier first, then what the request can pay and wait for', verifies(['PRS-6.3-06'], () => {
    const book = new LatencyBook(() => 0);
    for (const model of ['gpt', 'qwen']) book.record(catalogue.named(model)[0]!, model === 'gpt' ? 400 : 900);
    const ask = (requirements: RouteNeed['requirements'], tier = 'tier:balanced') => ids(need(tier, { requirements, maxOutputTokens: 1000 }), tenant(), book);
    expect(ask({}), 'quality alone').toEqual(['gpt', 'qwen']);
    expect(ask({}, 'tier:fast')).toEqual(['gpt-mini']);
    expect(ask({ max_cost_usd: 0.001 }), 'too dear').toEqual(['qwen']);
    expect(ask({ max_latency_ms: 500 }), 'too slow').toEqual(['gpt']);
    expect(ask({ max_cost_usd: 0.001, max_latency_ms: 500 }), 'neither can do both, so the last resort').toEqual(['builtin']);
  }));
});

describe('callWithFallback', () => {
  const candidates = catalogue.models.slice(0, 4);
  const failing = (...codes: Array<'dependency_unavailable' | 'timeout' | 'rate_limited' | 'invalid_request' | null>) => {
    const left = [...codes];
    return async (model: CatalogueModel): Promise<string> => {
      const code = left.shift() ?? null;
      if (code !== null) throw new AgentOsError(code, { message: code, retryAfterSeconds: 7 });
      return model.modelId;
    };
  };
  const idle = new AbortController().signal;

  it('answers with the first and claims no fallback', async () => {
    const attempts: Attempt[] = [];
    const served = await callWithFallback(candidates, idle, failing(null), (_model, attempt) => attempts.push(attempt));
    expect(served).toMatchObject({ answer: 'gpt', fallbackUsed: false });
    expect(attempts).toHaveLength(1);
  });

  it('goes on after failures of the backend and says so', verifies(['PRS-6.3-07'], async () => {
    const served = await callWithFallback(candidates, idle, failing('timeout', 'rate_limited', null), () => undefined);
    expect(served).toMatchObject({ answer: 'vec', fallbackUsed: true });
    expect(served.attempts.map((attempt) => attempt.error)).toEqual(['timeout', 'rate_limited', null]);
  }));

  it('stops at a refusal of the request, after three attempts, and when the caller has gone', async () => {
    await expect(callWithFallback(candidates, idle, failing('invalid_request', null), () => undefined)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(callWithFallback(candidates, idle, failing('timeout', 'timeout', 'rate_limited', null), () => undefined)).rejects.toMatchObject({
      code: 'rate_limited', retryAfterSeconds: 7, details: { attempts: [{ backend: 'openai', error: 'timeout' }, { error: 'timeout' }, { error: 'rate_limited' }] },
    });
    await expect(callWithFallback(candidates, AbortSignal.abort(), failing('timeout', null), () => undefined)).rejects.toMatchObject({ code: 'timeout' });
  });

  it('turns a bug of an adapter into internal_error', async () => {
    await expect(callWithFallback(candidates, idle, async () => { throw new TypeError('bug'); }, () => undefined)).rejects.toMatchObject({ code: 'internal_error' });
  });
});

describe('parseModelList', () => {
  it('reads tiers, prices and windows', () => {
    expect(parseModelList('fast=gpt-4o-mini@0.15/0.6#128000, balanced+premium=org/qwen:7b , embed=vec@0.02,plain')).toEqual([
      { modelId: 'gpt-4o-mini', capabilities: ['chat'], tiers: ['fast'], price: { inputUsdPerMillion: 0.15, outputUsdPerMillion: 0.6 }, contextWindowTokens: 128000 },
      { modelId: 'org/qwen:7b', capabilities: ['chat'], tiers: ['balanced', 'premium'], price: null },
      { modelId: 'vec', capabilities: ['embed'], tiers: ['fast', 'balanced', 'premium'], price: { inputUsdPerMillion: 0.02, outputUsdPerMillion: 0 } },
      { modelId: 'plain', capabilities: ['chat'], tiers: [], price: null },
    ]);
  });

  it.each(['fast=', 'huge=x', 'fast=x@cheap', 'a=b=c'])('refuses %j and names it', (text) => {
    expect(() => parseModelList(text)).toThrowError(`'${text}'`);
  });
});
