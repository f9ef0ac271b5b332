/**
 * What every ModelPort must do (PRS 5.2, Appendix E): carry the Appendix's own objects to Model Policy and back, and
 * turn every way it can fail into the platform's codes within the time allowed.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../../../services/platform/ids.ts';
import type { ModelCallOptions } from '../../../services/agent-orchestrator/ports/model.ts';
import type { ModelRequest } from '../../../generated/types/index.ts';
import { verifies } from '../../http/verifies.ts';
import type { ModelHarness } from '../contract.ts';
import { elapsedMs, expectCapabilities, rejection } from '../fixtures.ts';

type Under = () => ModelHarness;

export function modelSuite(create: () => Promise<ModelHarness>): void {
  let harness: ModelHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  beforeEach(() => harness!.setUpstream('answers'));
  afterAll(() => harness?.dispose());
  const under = () => harness!;
  describe('calls', () => calls(under));
  describe('failures', () => failures(under));
}

function options(overrides: Partial<ModelCallOptions> = {}): ModelCallOptions {
  return {
    timeoutMs: 10_000, signal: new AbortController().signal, correlationId: newId('corr'),
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', ...overrides,
  };
}

function chat(text = 'Say hello.'): ModelRequest {
  return { request_id: newId('req'), operation: 'chat', model_ref: 'tier:balanced', input: { messages: [{ role: 'user', content: text }] } };
}

function calls(under: Under): void {
  it('declares what it is', () => {
    expectCapabilities(under().model.capabilities());
  });

  it('chats, and answers with usage, latency, policy outcome and route', verifies(['PRS-5.2-01', 'PRS-6.2-01', 'PRS-6.2-02', 'PRS-6.2-03'], async () => {
    const request = chat();
    const response = await under().model.chat(await under().newTenant(), request, options());
    expect(response).toMatchObject({
      request_id: request.request_id, status: 'ok', output: { type: 'chat', message: { role: 'assistant' } },
      policy_outcome: { decision: 'allowed', reasons: [], redactions: [] },
      route: { backend: expect.any(String) as string, model: expect.any(String) as string, node: expect.any(String) as string },
    });
    expect(response.usage!.total_tokens).toBe(response.usage!.input_tokens! + response.usage!.output_tokens!);
    expect(response.latency_ms).toBeGreaterThanOrEqual(0);
  }));

  it('embeds, in the order of the texts', verifies(['PRS-5.2-02'], async () => {
    const tenant = await under().newTenant();
    const embed = (texts: string[]): ModelRequest => ({ request_id: newId('req'), operation: 'embed', model_ref: 'tier:balanced', input: { texts } });
    const both = await under().model.embed(tenant, embed(['one text', 'quite another']), options());
    const swapped = await under().model.embed(tenant, embed(['quite another', 'one text']), options());
    const vectors = (response: typeof both) => (response.output as { embeddings: { index: number; vector: number[] }[] }).embeddings;
    expect(vectors(both).map((embedding) => embedding.index)).toEqual([0, 1]);
    expect(vectors(both)[0]!.vector).toEqual(vectors(swapped)[1]!.vector);
    expect(vectors(both)[0]!.vector).not.toEqual(vectors(both)[1]!.vector);
  }));

  it('checks content against policy', verifies(['PRS-5.2-03'], async () => {
    const result = await under().model.policyCheck(await under().newTenant(), { request_id: newId('req'), content: { type: 'text', text: 'A harmless sentence.' } }, options());
    expect(result).toMatchObject({ decision: 'allowed', reasons: [], redactions: [] });
  }));

  it('lists models with what they can do', verifies(['PRS-5.2-04'], async () => {
    const models = await under().model.listModels(await under().newTenant(), options());
    expect(models.length).toBeGreaterThan(0);
    for (const model of models) expect(model).toMatchObject({ model_id: expect.any(String) as string, provider: expect.any(String) as string });
    const abilities = new Set(models.flatMap((model) => model.capabilities));
    expect([...abilities]).toEqual(expect.arrayContaining(['chat', 'embed']));
  }));
}

function failures(under: Under): void {
  it('says that Model Policy cannot be reached', verifies(['HLD-10.1-01'], async () => {
    await under().setUpstream('unavailable');
    const error = await rejection(under().model.chat(await under().newTenant(), chat(), options({ timeoutMs: 5_000 })));
    expect(error).toMatchObject({ code: 'dependency_unavailable', retryable: true });
    expect(JSON.stringify([error.message, error.details])).not.toMatch(/ECONNREFUSED .*at |node_modules/);
  }));

  it('gives up after the time allowed, however long the other side takes', async () => {
    await under().setUpstream('hangs');
    const tenant = await under().newTenant();
    let code = '';
    const took = await elapsedMs(async () => {
      code = (await rejection(under().model.chat(tenant, chat(), options({ timeoutMs: 300 })))).code;
    });
    expect(code).toBe('timeout');
    expect(took).toBeGreaterThanOrEqual(250);
    expect(took).toBeLessThan(2_000);
  });

  it('stops on abort', async () => {
    await under().setUpstream('hangs');
    const tenant = await under().newTenant();
    const aborted = new AbortController();
    const took = elapsedMs(() => under().model.chat(tenant, chat(), options({ timeoutMs: 30_000, signal: aborted.signal })).catch(() => {}));
    setTimeout(() => aborted.abort(), 50);
    expect(await took).toBeLessThan(2_000);
  });

  it('hands on that it was rate limited, with when to come back', async () => {
    await under().setUpstream('rate-limited');
    const error = await rejection(under().model.chat(await under().newTenant(), chat(), options({ timeoutMs: 800 })));
    expect(['rate_limited', 'timeout']).toContain(error.code);
    expect(error.retryable).toBe(true);
  });

  it('tells forbidden from not found, and hands both on as they are', verifies(['PRS-11.2-02'], async () => {
    const tenant = await under().newTenant();
    const absent = { ...chat(), model_ref: 'absent-model' };
    expect(await rejection(under().model.chat(tenant, absent, options()))).toMatchObject({ code: 'not_found', retryable: false });
    await under().setUpstream('forbids');
    expect(await rejection(under().model.chat(tenant, chat(), options()))).toMatchObject({ code: 'forbidden', retryable: false });
    expect(await rejection(under().model.chat(tenant, absent, options())), 'whether it exists is not told to who may not ask').toMatchObject({ code: 'forbidden' });
  }));

  it("takes the other side's own trouble, and an answer that is none, for a dependency that does not work", verifies(['PRS-11.2-01'], async () => {
    const tenant = await under().newTenant();
    for (const mode of ['fails', 'babbles'] as const) {
      await under().setUpstream(mode);
      const error = await rejection(under().model.chat(tenant, chat(), options({ timeoutMs: 5_000 })));
      expect(error, mode).toMatchObject({ code: 'dependency_unavailable', retryable: true });
      expect(JSON.stringify([error.message, error.details]), mode).not.toMatch(/nginx|<html|Something broke/);
    }
  }));

  it('recovers when the other side does', async () => {
    const tenant = await under().newTenant();
    await under().setUpstream('unavailable');
    await rejection(under().model.chat(tenant, chat(), options({ timeoutMs: 3_000 })));
    await under().setUpstream('answers');
    expect((await under().model.chat(tenant, chat(), options())).status).toBe('ok');
  });
}
