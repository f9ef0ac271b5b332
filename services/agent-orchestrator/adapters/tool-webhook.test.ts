import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import { rejection } from '../../../conformance/ports/fixtures.ts';
import { tenantToolsUnderTest, upstreamWebhook, type TenantToolsUnderTest } from '../../../conformance/ports/tool-upstream.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { newWebhookSecret } from '../../platform/webhooks/standard-webhooks.ts';
import type { ToolInvocation } from '../ports/tool.ts';
import type { WebhookTool } from '../ports/tool-registry.ts';
import { secretPlaceOf } from './tool-webhook.ts';

let under: TenantToolsUnderTest;
let tenant: AuthContext;

beforeAll(async () => {
  under = await tenantToolsUnderTest();
});
beforeEach(async () => {
  tenant = await under.newTenant();
  under.upstream.requests.length = 0;
  under.upstream.failNext.length = 0;
});
afterAll(() => under.dispose());

const call = (toolId: string, changes: Partial<ToolInvocation> = {}): ToolInvocation => ({
  toolId, input: { text: 'hello' }, toolCallId: 'tcall_one', timeoutMs: 5_000, signal: new AbortController().signal, traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', ...changes,
});

async function add(name: string, changes: Partial<WebhookTool> = {}, secret = under.upstream.secret): Promise<string> {
  const tool = upstreamWebhook(under.upstream, name, { toolId: `tool.own.${name}`, ...changes });
  await under.registry.createTool(tenant, tool, under.secrets.seal(secret, secretPlaceOf(tenant, tool.toolId)));
  under.tenantTools.forget(tenant);
  return tool.toolId;
}

describe('webhook tools', () => {
  it('say what is called, signed', async () => {
    expect(await under.webhook.invoke(tenant, call('tool.up.echo'))).toEqual({ text: 'hello' });
    const [request] = under.upstream.requests;
    expect(request).toMatchObject({ verified: true, headers: { 'webhook-id': 'tcall_one', 'content-type': 'application/json', traceparent: expect.stringMatching(/^00-4bf92f/) } });
    expect(JSON.parse(request!.body)).toMatchObject({ type: 'agentos.tool.call', data: { tool_call_id: 'tcall_one', tool_id: 'tool.up.echo', tenant_id: tenant.tenant_id, input: { text: 'hello' } } });
  });

  it('keep their id over attempts, and sign each', verifies(['PRS-4.1-05'], async () => {
    const toolId = await add('echo', { attempts: 4 });
    under.upstream.failNext.push(503, 429, 408);
    expect(await under.webhook.invoke(tenant, call(toolId))).toEqual({ text: 'hello' });
    expect(under.upstream.requests.map(({ headers, verified }) => [headers['webhook-id'], verified])).toEqual(Array.from({ length: 4 }, () => ['tcall_one', true]));
  }));

  it('try no more often than they say, and not at all what cannot be mended', async () => {
    under.upstream.failNext.push(500, 500, 500);
    const error = await rejection(under.webhook.invoke(tenant, call(await add('echo', { attempts: 2 }))));
    expect([error.code, error.details['status'], under.upstream.requests.length]).toEqual(['dependency_unavailable', 500, 2]);
    under.upstream.failNext.length = 0;
    under.upstream.requests.length = 0;
    expect((await rejection(under.webhook.invoke(tenant, call(await add('failing', { attempts: 5 }))))).code).toBe('tool_failed');
    expect(under.upstream.requests).toHaveLength(1);
  });

  it('are refused by an endpoint that knows another secret', async () => {
    const error = await rejection(under.webhook.invoke(tenant, call(await add('echo', {}, newWebhookSecret()))));
    expect([error.code, error.details['status']]).toEqual(['tool_failed', 401]);
  });

  it('call nobody with a secret that was sealed for another place', async () => {
    const tool = upstreamWebhook(under.upstream, 'echo', { toolId: 'tool.own.moved' });
    await under.registry.createTool(tenant, tool, under.secrets.seal(under.upstream.secret, secretPlaceOf(tenant, 'tool.other')));
    under.tenantTools.forget(tenant);
    const error = await rejection(under.webhook.invoke(tenant, call('tool.own.moved')));
    expect([error.details['reason'], under.upstream.requests.length]).toEqual(['secret_unreadable', 0]);
  });

  it('take text, nothing, and no page', async () => {
    expect(await under.webhook.invoke(tenant, call(await add('text')))).toBe('plain');
    expect(await under.webhook.invoke(tenant, call(await add('empty')))).toBeNull();
    expect((await rejection(under.webhook.invoke(tenant, call(await add('html'))))).details['reason']).toBe('answer_not_json');
    expect((await rejection(under.webhook.invoke(tenant, call(await add('large'))))).details['reason']).toBe('answer_too_large');
  });

  it('follow no redirect and reach no private address', async () => {
    const redirected = await rejection(under.webhook.invoke(tenant, call(await add('redirect'))));
    expect([redirected.details['status'], under.upstream.requests.length]).toEqual([302, 1]);
    const inside = await rejection(under.webhook.invoke(tenant, call(await add('inside', { url: 'http://169.254.169.254/latest/meta-data' }))));
    expect([inside.code, inside.details['rule']]).toEqual(['forbidden', 'address']);
  });

  it('are not called with input that does not fit', async () => {
    await rejection(under.webhook.invoke(tenant, call('tool.up.echo', { input: { text: 1 } })));
    expect(under.upstream.requests).toHaveLength(0);
  });

  it('belong to one tenant', async () => {
    const toolId = await add('echo');
    const error = await rejection(under.webhook.invoke(await under.newTenant(), call(toolId)));
    expect([error.code, under.upstream.requests.length]).toEqual(['not_found', 0]);
  });
});
