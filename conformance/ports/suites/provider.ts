/** What every ProviderPort must do (PRS 6.3): speak to one backend, count what was used, fail in the platform's codes. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ProviderChatRequest } from '../../../services/model-policy/ports/provider.ts';
import { verifies } from '../../http/verifies.ts';
import type { ProviderHarness, UpstreamMode } from '../contract.ts';
import { elapsedMs, expectCapabilities, rejection } from '../fixtures.ts';

type Under = () => ProviderHarness;
const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

export function providerSuite(create: () => Promise<ProviderHarness>): void {
  let harness: ProviderHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  beforeEach(() => harness!.setUpstream?.('answers'));
  afterAll(() => harness?.dispose());
  const under = () => harness!;
  describe('calls', () => calls(under));
  describe('failures', () => failures(under));
}

const callOptions = (signal = new AbortController().signal) => ({ signal, traceparent: TRACEPARENT });

async function modelFor(under: Under, capability: 'chat' | 'embed'): Promise<string> {
  const model = (await under().provider.models()).find((candidate) => candidate.capabilities.includes(capability));
  return model === undefined ? expect.fail(`no model of ${under().provider.backend} can ${capability}`) : model.modelId;
}

async function chatRequest(under: Under, overrides: Partial<ProviderChatRequest> = {}): Promise<ProviderChatRequest> {
  return { model: await modelFor(under, 'chat'), messages: [{ role: 'user', content: 'Say hello.' }], tools: [], toolChoice: 'auto', ...overrides };
}

function calls(under: Under): void {
  it('declares what it is and where it runs', verifies(['PRS-6.3-01'], async () => {
    expectCapabilities(under().provider.capabilities());
    expect(under().provider.backend).toMatch(/^[a-z][a-z0-9_-]*$/);
    expect(under().provider.node.length).toBeGreaterThan(0);
    const models = await under().provider.models();
    expect(models.length).toBeGreaterThan(0);
    for (const model of models) expect(model.capabilities.length).toBeGreaterThan(0);
    expect(await under().provider.health(new AbortController().signal)).toMatchObject({ ok: true });
  }));

  it('chats and counts what was used', async () => {
    const answer = await under().provider.chat(await under().newTenant(), await chatRequest(under), callOptions());
    expect(answer.message.role).toBe('assistant');
    expect(answer.message.content.length).toBeGreaterThan(0);
    expect(answer).toMatchObject({ toolCalls: [], finishReason: 'stop' });
    expect(answer.usage.inputTokens).toBeGreaterThan(0);
    expect(answer.usage.outputTokens).toBeGreaterThan(0);
  });

  it('embeds in the order of the texts, equal texts equally', async () => {
    const model = await modelFor(under, 'embed');
    const answer = await under().provider.embed(await under().newTenant(), { model, texts: ['one text', 'quite another', 'one text'] }, callOptions());
    expect(answer.vectors).toHaveLength(3);
    expect(answer.vectors[0]).toEqual(answer.vectors[2]);
    expect(answer.vectors[0]).not.toEqual(answer.vectors[1]);
    expect(new Set(answer.vectors.map((vector) => vector.length)).size).toBe(1);
    expect(answer.usage).toMatchObject({ outputTokens: 0 });
    expect(answer.usage.inputTokens).toBeGreaterThan(0);
  });

  it('refuses a model that it does not have', async () => {
    const tenant = await under().newTenant();
    expect((await rejection(under().provider.chat(tenant, await chatRequest(under, { model: 'absent-model' }), callOptions()))).code).toBe('not_found');
    expect((await rejection(under().provider.embed(tenant, { model: 'absent-model', texts: ['x'] }, callOptions()))).code).toBe('not_found');
  });
}

function failures(under: Under): void {
  const ask = (model: string): ProviderChatRequest => ({ model, messages: [{ role: 'user', content: 'x' }], tools: [], toolChoice: 'auto' });
  const steered = (mode: UpstreamMode, test: (model: string) => Promise<void>) => async ({ skip }: { skip: (note: string) => void }) => {
    if (under().setUpstream === undefined) return skip('runs in this process; there is nothing that could fail so');
    const model = await modelFor(under, 'chat');
    await under().setUpstream!(mode);
    await test(model);
  };

  it('stops on abort', async () => {
    const model = await modelFor(under, 'chat');
    await under().setUpstream?.('hangs');
    const tenant = await under().newTenant();
    const took = await elapsedMs(() => under().provider.chat(tenant, ask(model), callOptions(AbortSignal.timeout(100))).catch(() => {}));
    expect(took).toBeLessThan(2_000);
  });

  it('says that the backend cannot be reached', steered('unavailable', async (model) => {
    const error = await rejection(under().provider.chat(await under().newTenant(), ask(model), callOptions()));
    expect(error).toMatchObject({ code: 'dependency_unavailable', retryable: true });
    expect(await under().provider.health(AbortSignal.timeout(2_000))).toMatchObject({ ok: false });
  }));

  it('hands on that it was rate limited', steered('rate-limited', async (model) => {
    expect(await rejection(under().provider.chat(await under().newTenant(), ask(model), callOptions()))).toMatchObject({ code: 'rate_limited', retryable: true });
  }));
}
