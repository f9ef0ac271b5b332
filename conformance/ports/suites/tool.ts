/** What every ToolPort must do (PRS 5.2): list a tenant's tools, run one, refuse what does not fit its schema. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../../services/platform/ids.ts';
import type { ToolInvocation } from '../../../services/agent-orchestrator/ports/tool.ts';
import { verifies } from '../../http/verifies.ts';
import type { ToolHarness } from '../contract.ts';
import { elapsedMs, expectCapabilities, rejection } from '../fixtures.ts';

type Under = () => ToolHarness;

export function toolSuite(create: () => Promise<ToolHarness>): void {
  let harness: ToolHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());
  const under = () => harness!;
  describe('tools', () => invoking(under));
  describe('refusals', () => refusals(under));
}

function invocation(toolId: string, input: unknown, overrides: Partial<ToolInvocation> = {}): ToolInvocation {
  return {
    toolId, input, toolCallId: newId('tcall'), timeoutMs: 5_000, signal: new AbortController().signal,
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', ...overrides,
  };
}

function invoking(under: Under): void {
  it('declares what it is', () => {
    expectCapabilities(under().tools.capabilities());
  });

  it('describes every tool so that a model can call it', verifies(['PRS-4.1-05'], async () => {
    const tools = await under().tools.list(await under().newTenant());
    expect(tools.map((tool) => tool.toolId)).toEqual(expect.arrayContaining(Object.values(under().ids)));
    expect(new Set(tools.map((tool) => tool.name)).size).toBe(tools.length);
    for (const tool of tools) {
      expect(tool.name).toMatch(/^[a-zA-Z0-9_]{1,64}$/);
      expect(tool.description.length).toBeGreaterThan(10);
      expect(tool.inputSchema).toMatchObject({ type: 'object' });
    }
  }));

  it('lists at least what is wanted of what there is', async () => {
    const wanted = [under().ids.echo, 'tool.absent'];
    const ids = (await under().tools.list(await under().newTenant(), wanted)).map((tool) => tool.toolId);
    expect(ids).toContain(under().ids.echo);
    expect(ids).not.toContain('tool.absent');
  });

  it('echoes', verifies(['PRS-5.2-05'], async () => {
    const output = await under().tools.invoke(await under().newTenant(), invocation(under().ids.echo, { text: 'Ünïcode 🌦' }));
    expect(JSON.stringify(output)).toContain('Ünïcode 🌦');
  }));

  it('counts words and characters', async (context) => {
    if (!(await has(under(), 'tool.text.stats'))) return context.skip();
    const output = await under().tools.invoke(await under().newTenant(), invocation('tool.text.stats', { text: 'One two three.\nFour five.' }));
    const numbers = Object.values(output as Record<string, unknown>).filter((value) => typeof value === 'number');
    expect(numbers).toContain(5);
    expect(numbers).toContain(25);
  });

  it('keeps a value under a key, for its own tenant alone', verifies(['PRS-13-09', 'HLD-5.2-02'], async (context) => {
    if (!(await has(under(), 'tool.kv.put'))) return context.skip();
    const [owner, stranger] = [await under().newTenant(), await under().newTenant()];
    const put = invocation('tool.kv.put', { key: 'colour', value: { name: 'blue' } });
    const first = await under().tools.invoke(owner, put);
    expect(await under().tools.invoke(owner, put), 'a repeated call under its own id gives the same answer').toEqual(first);
    expect(JSON.stringify(await under().tools.invoke(owner, invocation('tool.kv.get', { key: 'colour' })))).toContain('blue');
    expect(JSON.stringify(await under().tools.invoke(stranger, invocation('tool.kv.get', { key: 'colour' })))).not.toContain('blue');
  }));
}

const has = async ({ tools, newTenant }: ToolHarness, toolId: string): Promise<boolean> => (await tools.list(await newTenant())).some((tool) => tool.toolId === toolId);

function refusals(under: Under): void {
  it('refuses a tool that there is not', async () => {
    expect((await rejection(under().tools.invoke(await under().newTenant(), invocation('tool.absent', {})))).code).toBe('not_found');
  });

  it('refuses input that does not fit, and says where', async () => {
    const tenant = await under().newTenant();
    for (const input of [{}, { text: 7 }, null, 'text', []]) {
      const error = await rejection(under().tools.invoke(tenant, invocation(under().ids.echo, input)));
      expect(error.code).toBe('invalid_request');
      expect(JSON.stringify([error.message, error.details])).toMatch(/text|\/|input/);
    }
  });

  it('passes on what a tool says of its failure', async (context) => {
    const { failing } = under().ids;
    if (failing === undefined) return context.skip();
    const error = await rejection(under().tools.invoke(await under().newTenant(), invocation(failing, { text: 'x' })));
    expect([error.code, error.retryable]).toEqual(['tool_failed', false]);
    expect(error.message).toContain('no such city');
  });

  it('refuses output that does not fit', async (context) => {
    const { misfit } = under().ids;
    if (misfit === undefined) return context.skip();
    const error = await rejection(under().tools.invoke(await under().newTenant(), invocation(misfit, { text: 'x' })));
    expect([error.code, error.details['reason']]).toEqual(['tool_failed', 'output_does_not_fit']);
  });

  it('gives up when the time is up', async (context) => {
    const { slow } = under().ids;
    if (slow === undefined) return context.skip();
    const error = await rejection(under().tools.invoke(await under().newTenant(), invocation(slow, { text: 'x' }, { timeoutMs: 200 })));
    expect(error.code).toBe('timeout');
  });

  it('begins nothing that was aborted before', async () => {
    const tenant = await under().newTenant();
    const started = elapsedMs(() => under().tools.invoke(tenant, invocation(under().ids.echo, { text: 'x' }, { signal: AbortSignal.abort(), timeoutMs: 30_000 })).catch(() => {}));
    expect(await started).toBeLessThan(1_000);
  });

  it('stops on abort', async (context) => {
    const { slow } = under().ids;
    if (slow === undefined) return context.skip();
    const tenant = await under().newTenant();
    const controller = new AbortController();
    const waiting = rejection(under().tools.invoke(tenant, invocation(slow, { text: 'x' }, { signal: controller.signal, timeoutMs: 30_000 })));
    setTimeout(() => controller.abort(), 100);
    expect((await waiting).details['reason']).toBe('aborted');
  });
}
