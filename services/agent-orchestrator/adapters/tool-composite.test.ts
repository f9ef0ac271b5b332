import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import { rejection } from '../../../conformance/ports/fixtures.ts';
import { tenantToolsUnderTest, upstreamWebhook, type TenantToolsUnderTest } from '../../../conformance/ports/tool-upstream.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ToolInvocation } from '../ports/tool.ts';
import type { ToolRegistryPort } from '../ports/tool-registry.ts';
import { MemoryMemory } from './memory-memory.ts';
import { BuiltinTools } from './tool-builtin.ts';
import { CompositeTools } from './tool-composite.ts';
import { secretPlaceOf } from './tool-webhook.ts';
import { TenantTools } from './tools/tenant-tools.ts';
import { distinctNames, modelNameOf } from './tools/tool-names.ts';

let under: TenantToolsUnderTest;
let perMinute: number | null = null;
let loads = 0;
let tools: CompositeTools;

beforeAll(async () => {
  under = await tenantToolsUnderTest();
  const counting: ToolRegistryPort = new Proxy(under.registry, {
    get: (target, name: keyof ToolRegistryPort) => {
      if (name === 'load' || name === 'takeCall') loads += 1;
      return (target[name] as (...given: unknown[]) => unknown).bind(target);
    },
  });
  const { webhook, mcp } = under;
  tools = new CompositeTools({ builtin: new BuiltinTools(new MemoryMemory()), webhook, mcp, tenantTools: new TenantTools(counting), callsPerMinute: async () => perMinute });
});
afterAll(() => under.dispose());

const call = (toolId: string, changes: Partial<ToolInvocation> = {}): ToolInvocation => ({
  toolId, input: { text: 'hello' }, toolCallId: 'tcall_one', timeoutMs: 5_000, signal: new AbortController().signal, traceparent: '', ...changes,
});

async function limited(tenant: AuthContext, rateLimitPerMinute: number): Promise<string> {
  const tool = upstreamWebhook(under.upstream, 'echo', { toolId: 'tool.own.limited', rateLimitPerMinute });
  await under.registry.createTool(tenant, tool, under.secrets.seal(under.upstream.secret, secretPlaceOf(tenant, tool.toolId)));
  under.tenantTools.forget(tenant);
  return tool.toolId;
}

describe('all tools of a tenant', () => {
  it('cost an agent of built-in tools no look at the registry', async () => {
    const tenant = await under.newTenant();
    perMinute = null;
    loads = 0;
    const listed = await tools.list(tenant, ['tool.echo', 'tool.kv.put']);
    await tools.invoke(tenant, call('tool.echo'));
    expect([listed.some(({ toolId }) => toolId === 'tool.echo'), loads]).toEqual([true, 0]);
  });

  it('go where their ids say', async () => {
    const tenant = await under.newTenant();
    for (const toolId of ['tool.echo', 'tool.up.echo', 'tool.mcp.up.echo']) expect(await tools.invoke(tenant, call(toolId)), toolId).toEqual({ text: 'hello' });
    const ids = (await tools.list(tenant)).map(({ toolId }) => toolId);
    expect(ids).toEqual(expect.arrayContaining(['tool.echo', 'tool.up.echo', 'tool.mcp.up.echo']));
  });

  it('are called as often a minute as the tool allows', verifies(['HLD-5.2-01'], async () => {
    const tenant = await under.newTenant();
    perMinute = null;
    const toolId = await limited(tenant, 2);
    for (let time = 0; time < 2; time += 1) await tools.invoke(tenant, call(toolId));
    const before = under.upstream.requests.length;
    const error = await rejection(tools.invoke(tenant, call(toolId)));
    expect(error).toMatchObject({ code: 'rate_limited', retryable: true, details: { reason: 'tool_calls', limit_per_minute: 2, retry_after_ms: expect.any(Number) } });
    expect(error.retryAfterSeconds).toBeGreaterThan(0);
    expect(under.upstream.requests.length, 'nothing was called').toBe(before);
    expect(await tools.invoke(tenant, call('tool.up.echo')), 'other tools go on').toEqual({ text: 'hello' });
    expect(await tools.invoke(await under.newTenant(), call('tool.up.echo')), 'other tenants too').toEqual({ text: 'hello' });
  }));

  it('are called as often a minute as the tenant may, over all of them', verifies(['HLD-5.2-01'], async () => {
    const tenant = await under.newTenant();
    perMinute = 3;
    for (const toolId of ['tool.echo', 'tool.up.echo', 'tool.mcp.up.echo']) await tools.invoke(tenant, call(toolId));
    expect((await rejection(tools.invoke(tenant, call('tool.echo')))).details).toMatchObject({ reason: 'tenant_tool_calls', limit_per_minute: 3 });
    perMinute = 0;
    expect((await rejection(tools.invoke(await under.newTenant(), call('tool.echo')))).code).toBe('rate_limited');
    perMinute = null;
  }));
});

describe('names for models', () => {
  it('are readable, short enough and distinct', () => {
    expect(modelNameOf('tool.crm.lookup')).toBe('crm_lookup');
    expect(modelNameOf('tool.mcp.files.read_file')).toBe('mcp__files__read_file');
    expect(modelNameOf(`tool.${'x'.repeat(120)}`)).toMatch(/^x{55}_[0-9a-f]{8}$/);
    const named = distinctNames(['tool.a.b', 'tool.a_b', 'tool.a-b'].map((toolId) => ({ toolId, name: modelNameOf(toolId), description: '', inputSchema: {} }))).map(({ name }) => name);
    expect(named[0]).toBe('a_b');
    expect(new Set(named).size).toBe(3);
  });
});
