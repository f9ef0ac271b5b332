import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { rejection } from '../../../conformance/ports/fixtures.ts';
import { tenantToolsUnderTest, type TenantToolsUnderTest } from '../../../conformance/ports/tool-upstream.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ToolInvocation } from '../ports/tool.ts';
import type { McpServer } from '../ports/tool-registry.ts';
import { sealHeaders } from '../tools/mcp-servers.ts';
import { parseMcpCommands } from './tools/mcp-commands.ts';

const CLOCK = fileURLToPath(new URL('../../../examples/mcp-server.ts', import.meta.url));
let under: TenantToolsUnderTest;

afterEach(() => under.dispose());

const call = (toolId: string, changes: Partial<ToolInvocation> = {}): ToolInvocation => ({
  toolId, input: { text: 'hello' }, toolCallId: 'tcall_one', timeoutMs: 5_000, signal: new AbortController().signal, traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', ...changes,
});

async function addServer(tenant: AuthContext, serverId: string, changes: Partial<McpServer> = {}, headers: Readonly<Record<string, string>> = {}): Promise<void> {
  const server = { serverId, transport: { type: 'streamable_http' as const, url: `${under.upstream.origin}/mcp` }, toolsAllowed: null, timeoutMs: 3_000, enabled: true, ...changes };
  await under.registry.createServer(tenant, server, sealHeaders(under.secrets, tenant.tenant_id, server, headers));
  under.tenantTools.forget(tenant);
}

const idsOf = async (tenant: AuthContext, wanted?: readonly string[]): Promise<readonly string[]> => (await under.mcp.list(tenant, wanted)).map(({ toolId }) => toolId);
const methods = (): readonly string[] => under.upstream.requests.flatMap(({ body }) => (body === '' ? [] : [(JSON.parse(body) as { method?: string }).method ?? '']));

describe('MCP servers over HTTP', () => {
  it('are asked once, over all pages, and called over one connection', async () => {
    under = await tenantToolsUnderTest();
    const tenant = await under.newTenant();
    expect(await idsOf(tenant)).toEqual(['echo', 'slow', 'failing', 'misfit', 'plain', 'picture'].map((name) => `tool.mcp.up.${name}`));
    for (let time = 0; time < 3; time += 1) expect(await under.mcp.invoke(tenant, call('tool.mcp.up.echo'))).toEqual({ text: 'hello' });
    await idsOf(tenant);
    expect(methods().filter((method) => method === 'initialize')).toHaveLength(1);
    expect(methods().filter((method) => method === 'tools/list')).toHaveLength(2);
    const sent = under.upstream.requests.find(({ body }) => body.includes('tools/call'))!;
    expect(JSON.parse(sent.body)).toMatchObject({ params: { _meta: { 'agentos/tool_call_id': 'tcall_one' } } });
  });

  it('answer texts as text, and say of pictures that they are there', async () => {
    under = await tenantToolsUnderTest();
    const tenant = await under.newTenant();
    expect(await under.mcp.invoke(tenant, call('tool.mcp.up.plain'))).toBe('one\ntwo');
    expect(await under.mcp.invoke(tenant, call('tool.mcp.up.picture'))).toEqual({ content: [{ type: 'text', text: 'a picture' }, { type: 'image', mimeType: 'image/png', bytes: 3 }] });
  });

  it('offer what the tenant lets in, while they are enabled, and only when somebody wants it', async () => {
    under = await tenantToolsUnderTest();
    const tenant = await under.newTenant();
    await addServer(tenant, 'few', { toolsAllowed: ['echo'] });
    await addServer(tenant, 'off', { enabled: false });
    expect(await idsOf(tenant, ['tool.mcp.few.echo', 'tool.mcp.off.echo'])).toEqual(['tool.mcp.few.echo']);
    expect(methods().filter((method) => method === 'initialize'), 'the server nobody wanted was not asked').toHaveLength(1);
    for (const toolId of ['tool.mcp.few.plain', 'tool.mcp.off.echo', 'tool.mcp.none.echo', 'tool.mcp.up', 'tool.mcp.']) expect((await rejection(under.mcp.invoke(tenant, call(toolId)))).code, toolId).toBe('not_found');
  });

  it("send a tenant's own credentials, and say when they are wrong", async () => {
    under = await tenantToolsUnderTest();
    const tenant = await under.newTenant();
    const guarded = { transport: { type: 'streamable_http' as const, url: `${under.upstream.origin}/mcp-guarded` } };
    await addServer(tenant, 'right', guarded, { 'X-Api-Key': 'opensesame' });
    await addServer(tenant, 'wrong', guarded, { 'X-Api-Key': 'sesame' });
    expect(await under.mcp.invoke(tenant, call('tool.mcp.right.echo'))).toEqual({ text: 'hello' });
    expect(await idsOf(tenant, ['tool.mcp.wrong.echo'])).toEqual([]);
    const { servers } = await under.registry.load(tenant);
    expect(servers.find(({ serverId }) => serverId === 'wrong')!.status).toMatchObject({ state: 'unreachable', error: expect.stringContaining('wrong') });
    expect(JSON.stringify(servers)).not.toContain('sesame');
  });

  it('get no credentials that were sealed for another host', async () => {
    under = await tenantToolsUnderTest();
    const tenant = await under.newTenant();
    const server: McpServer = { serverId: 'moved', transport: { type: 'streamable_http', url: 'https://right.example/mcp' }, toolsAllowed: null, timeoutMs: 3_000, enabled: true };
    const sealed = sealHeaders(under.secrets, tenant.tenant_id, server, { 'X-Api-Key': 'opensesame' });
    await under.registry.createServer(tenant, { ...server, transport: { type: 'streamable_http', url: `${under.upstream.origin}/mcp` } }, sealed);
    under.tenantTools.forget(tenant);
    await idsOf(tenant, ['tool.mcp.moved.echo']);
    expect((await under.registry.load(tenant)).servers.find(({ serverId }) => serverId === 'moved')!.status.error).toContain('stored secret');
    expect(under.upstream.requests).toEqual([]);
  });

  it('may forget their sessions', async () => {
    under = await tenantToolsUnderTest();
    const tenant = await under.newTenant();
    await under.mcp.invoke(tenant, call('tool.mcp.up.echo'));
    under.upstream.forgetSessions();
    expect(await under.mcp.invoke(tenant, call('tool.mcp.up.echo'))).toEqual({ text: 'hello' });
  });

  it('tell that their tools have changed', async () => {
    under = await tenantToolsUnderTest();
    const tenant = await under.newTenant();
    await under.mcp.invoke(tenant, call('tool.mcp.up.echo'));
    // The stream of notifications opens behind the handshake.
    await vi.waitFor(() => expect(under.upstream.requests.some(({ body, headers }) => body === '' && headers.accept === 'text/event-stream')).toBe(true));
    await vi.waitFor(async () => {
      await under.upstream.addMcpTool(`more${Math.random()}`.replace('.', ''));
      expect((await idsOf(tenant)).some((id) => id.startsWith('tool.mcp.up.more'))).toBe(true);
    }, { timeout: 5_000 });
  });

  it('fail a call when they are gone, and keep what they offered', async () => {
    under = await tenantToolsUnderTest();
    const tenant = await under.newTenant();
    await under.mcp.invoke(tenant, call('tool.mcp.up.echo'));
    await under.upstream.close();
    const error = await rejection(under.mcp.invoke(tenant, call('tool.mcp.up.echo')));
    expect([error.code, error.retryable]).toEqual(['dependency_unavailable', true]);
    expect(await idsOf(tenant)).toContain('tool.mcp.up.echo');
  });

  it('are reached under the egress rules', async () => {
    under = await tenantToolsUnderTest();
    const tenant = await under.newTenant();
    await addServer(tenant, 'inside', { transport: { type: 'streamable_http', url: 'http://169.254.169.254/mcp' } });
    expect(await idsOf(tenant, ['tool.mcp.inside.x'])).toEqual([]);
    expect((await under.registry.load(tenant)).servers.find(({ serverId }) => serverId === 'inside')!.status).toMatchObject({ state: 'unreachable', error: expect.stringContaining('may connect to') });
  });
});

describe('connections', () => {
  it('serve one tenant each, are bounded, and close when nobody uses them', async () => {
    under = await tenantToolsUnderTest({ maxPerTenant: 2, idleMs: 2_000 });
    const [one, other] = [await under.newTenant(), await under.newTenant()];
    await Promise.all([one, other].map((tenant) => under.mcp.invoke(tenant, call('tool.mcp.up.echo'))));
    expect([under.connections.size, under.upstream.sessions]).toEqual([2, 2]);
    for (const id of ['a', 'b', 'c']) {
      await addServer(one, id);
      await under.mcp.invoke(one, call(`tool.mcp.${id}.echo`));
    }
    expect(under.connections.size, 'idle ones of the tenant made room').toBe(3);
    await vi.waitFor(() => expect(under.connections.size).toBe(0), { timeout: 8_000 });
  }, 15_000);

  it('refuse a server more while all are in use', async () => {
    under = await tenantToolsUnderTest({ maxPerTenant: 1 });
    const tenant = await under.newTenant();
    await addServer(tenant, 'second');
    await idsOf(tenant, ['tool.mcp.second.echo']);
    await idsOf(tenant, ['tool.mcp.up.echo']);
    const controller = new AbortController();
    const busy = rejection(under.mcp.invoke(tenant, call('tool.mcp.up.slow', { signal: controller.signal })));
    await vi.waitFor(() => expect(methods()).toContain('tools/call'));
    expect((await rejection(under.mcp.invoke(tenant, call('tool.mcp.second.echo')))).details['reason']).toBe('too_many_mcp_connections');
    controller.abort();
    await busy;
    await vi.waitFor(async () => expect(await under.mcp.invoke(tenant, call('tool.mcp.second.echo'))).toEqual({ text: 'hello' }));
  });
});

describe('MCP servers as programs', () => {
  const commands = parseMcpCommands(JSON.stringify({ clock: { command: process.execPath, args: ['--import', 'tsx', '--import', 'data:text/javascript,if(process.env.AGENTOS_TEST_CANARY)process.exit(9)', CLOCK, '--stdio'] }, broken: { command: process.execPath, args: ['-e', 'process.exit(3)'] }, absent: { command: '/nowhere/at/all' } }));

  it('run from the list of the node, one for each tenant, without its environment', async () => {
    process.env['AGENTOS_TEST_CANARY'] = 'canary';
    under = await tenantToolsUnderTest({ commands });
    const tenant = await under.newTenant();
    await addServer(tenant, 'clock', { transport: { type: 'stdio', commandId: 'clock' }, timeoutMs: 15_000 });
    const output = await under.mcp.invoke(tenant, call('tool.mcp.clock.time_in', { input: { timezone: 'Europe/Zurich' }, timeoutMs: 15_000 }));
    expect(output).toMatchObject({ timezone: 'Europe/Zurich', time: expect.stringMatching(/^\d{2}:\d{2}$/) });
    delete process.env['AGENTOS_TEST_CANARY'];
  }, 180_000);

  it.each(['broken', 'absent', 'unlisted'])('%s is a state of the server and not the end of anything', async (commandId) => {
    under = await tenantToolsUnderTest({ commands });
    const tenant = await under.newTenant();
    await addServer(tenant, 'program', { transport: { type: 'stdio', commandId } });
    expect(await idsOf(tenant, ['tool.mcp.program.x'])).toEqual([]);
    expect((await under.registry.load(tenant)).servers.find(({ serverId }) => serverId === 'program')!.status.state).toBe('unreachable');
  });

  it.each(['=x', 'a=', '{', '{"a":{}}', '{"a":{"command":"x","args":[1]}}', 'a b=c'])('refuses the list %j', (text) => {
    expect(() => parseMcpCommands(text)).toThrow(/AGENTOS_MCP_COMMANDS/);
  });

  it('reads both forms of the list', () => {
    expect([...parseMcpCommands('clock=npx tsx clock.ts; files=mcp-files /data')]).toEqual([['clock', { command: 'npx', args: ['tsx', 'clock.ts'], env: {} }], ['files', { command: 'mcp-files', args: ['/data'], env: {} }]]);
    expect(parseMcpCommands(undefined).size).toBe(0);
  });
});
