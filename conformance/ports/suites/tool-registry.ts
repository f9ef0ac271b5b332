/** What every ToolRegistryPort must do: a tenant's tools and servers as they were given, and rates that hold. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MAX_MCP_SERVERS, type McpServer, type McpTool, type WebhookTool } from '../../../services/agent-orchestrator/ports/tool-registry.ts';
import { verifies } from '../../http/verifies.ts';
import type { ToolRegistryHarness } from '../contract.ts';
import { expectCapabilities, expectSameRefusal, pause, rejection } from '../fixtures.ts';

type Under = () => ToolRegistryHarness;

export function toolRegistrySuite(create: () => Promise<ToolRegistryHarness>): void {
  let harness: ToolRegistryHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());
  const under = () => harness!;
  describe('webhook tools', () => webhookTools(under));
  describe('MCP servers', () => mcpServers(under));
  describe('rates', () => rates(under));
  describe('tenants', () => tenants(under));
}

const webhookTool = (toolId: string, changes: Partial<WebhookTool> = {}): WebhookTool => ({
  toolId, title: 'Weather', description: 'Tells the weather of a city.', inputSchema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  outputSchema: { type: 'object' }, sideEffects: false, timeoutMs: 5_000, attempts: 3, rateLimitPerMinute: 60, url: 'https://tools.example.com/weather', ...changes,
});

const mcpServer = (serverId: string, changes: Partial<McpServer> = {}): McpServer => ({
  serverId, transport: { type: 'streamable_http', url: 'https://mcp.example.com/' }, toolsAllowed: null, timeoutMs: 10_000, enabled: true, ...changes,
});

const mcpTool = (name: string): McpTool => ({ name, description: `Does ${name}.`, inputSchema: { type: 'object' }, outputSchema: null, sideEffects: true });

function webhookTools(under: Under): void {
  it('declares what it is', () => {
    expectCapabilities(under().registry.capabilities());
  });

  it('gives back what was created', verifies(['PRS-4.1-05'], async () => {
    const tenant = await under().newTenant();
    const made = await under().registry.createTool(tenant, webhookTool('tool.weather', { description: 'Ünïcode 🌦 "quoted"' }), 'sealed-1');
    expect(made).toMatchObject({ ...webhookTool('tool.weather', { description: 'Ünïcode 🌦 "quoted"' }), sealedSecret: 'sealed-1', updatedAt: made.createdAt });
    expect(await under().registry.load(tenant)).toEqual({ tools: [made], servers: [] });
  }));

  it('creates a tool once, also at the same moment', async () => {
    const tenant = await under().newTenant();
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, (_, index) => under().registry.createTool(tenant, webhookTool('tool.one'), `sealed-${index}`)));
    expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'conflict', details: { reason: 'tool_exists' } });
  });

  it('replaces a definition, keeps the secret unless it is given one, and shows that it changed', async () => {
    const tenant = await under().newTenant();
    const made = await under().registry.createTool(tenant, webhookTool('tool.weather'), 'sealed-1');
    expect(await under().registry.replaceTool(tenant, webhookTool('tool.weather'), null), 'an equal definition changes nothing').toEqual(made);
    const changed = await under().registry.replaceTool(tenant, webhookTool('tool.weather', { title: 'Changed', outputSchema: null }), null);
    expect(changed).toMatchObject({ title: 'Changed', outputSchema: null, sealedSecret: 'sealed-1', createdAt: made.createdAt });
    expect(changed.updatedAt > made.updatedAt).toBe(true);
    const rotated = await under().registry.replaceTool(tenant, webhookTool('tool.weather', { title: 'Changed', outputSchema: null }), 'sealed-2');
    expect(rotated.sealedSecret).toBe('sealed-2');
    expect(rotated.updatedAt > changed.updatedAt).toBe(true);
  });

  it('deletes a tool, once', async () => {
    const tenant = await under().newTenant();
    await under().registry.createTool(tenant, webhookTool('tool.weather'), 'sealed');
    await under().registry.deleteTool(tenant, 'tool.weather');
    expect((await rejection(under().registry.deleteTool(tenant, 'tool.weather'))).code).toBe('not_found');
    expect((await rejection(under().registry.replaceTool(tenant, webhookTool('tool.weather'), null))).code).toBe('not_found');
    expect((await under().registry.load(tenant)).tools).toEqual([]);
  });

  it('keeps tools in order of their ids', async () => {
    const tenant = await under().newTenant();
    for (const id of ['tool.b', 'tool.a', 'tool.B', 'tool.a.1', 'tool.a-1']) await under().registry.createTool(tenant, webhookTool(id), 'sealed');
    expect((await under().registry.load(tenant)).tools.map((tool) => tool.toolId)).toEqual(['tool.B', 'tool.a', 'tool.a-1', 'tool.a.1', 'tool.b']);
  });
}

function mcpServers(under: Under): void {
  it('gives back what was created, of either transport', async () => {
    const tenant = await under().newTenant();
    const http = await under().registry.createServer(tenant, mcpServer('http', { toolsAllowed: ['one'] }), 'sealed-headers');
    expect(http).toMatchObject({ ...mcpServer('http', { toolsAllowed: ['one'] }), sealedHeaders: 'sealed-headers', tools: [], status: { state: 'unknown', error: null, checkedAt: null } });
    const stdio = await under().registry.createServer(tenant, mcpServer('stdio', { transport: { type: 'stdio', commandId: 'clock' }, enabled: false }), null);
    expect((await under().registry.load(tenant)).servers).toEqual([http, stdio]);
    expect((await rejection(under().registry.createServer(tenant, mcpServer('http'), null))).details).toMatchObject({ reason: 'mcp_server_exists' });
  });

  it('records what a server has and keeps it while the server is away', async () => {
    const tenant = await under().newTenant();
    const server = await under().registry.createServer(tenant, mcpServer('http'), null);
    await under().registry.recordServer(tenant, server, { tools: [mcpTool('one'), mcpTool('two')], state: 'connected', error: null });
    const [seen] = (await under().registry.load(tenant)).servers;
    expect(seen).toMatchObject({ tools: [mcpTool('one'), mcpTool('two')], status: { state: 'connected', error: null }, updatedAt: server.updatedAt });
    expect(Number.isNaN(Date.parse(seen!.status.checkedAt!))).toBe(false);
    await under().registry.recordServer(tenant, server, { tools: null, state: 'unreachable', error: 'It does not answer.' });
    expect((await under().registry.load(tenant)).servers[0]).toMatchObject({ tools: [mcpTool('one'), mcpTool('two')], status: { state: 'unreachable', error: 'It does not answer.' } });
  });

  it('forgets what it saw when the definition changes, and ignores what was seen of the old one', async () => {
    const tenant = await under().newTenant();
    const server = await under().registry.createServer(tenant, mcpServer('http'), 'sealed-headers');
    await under().registry.recordServer(tenant, server, { tools: [mcpTool('one')], state: 'connected', error: null });
    const changed = await under().registry.replaceServer(tenant, mcpServer('http', { timeoutMs: 1 }), undefined);
    expect(changed).toMatchObject({ timeoutMs: 1, sealedHeaders: 'sealed-headers', tools: [], status: { state: 'unknown' } });
    expect(changed.updatedAt > server.updatedAt).toBe(true);
    await under().registry.recordServer(tenant, server, { tools: [mcpTool('old')], state: 'connected', error: null });
    expect((await under().registry.load(tenant)).servers[0]!.tools).toEqual([]);
    expect((await under().registry.replaceServer(tenant, mcpServer('http'), null)).sealedHeaders).toBeNull();
  });

  it('bounds how many servers a tenant has', async () => {
    const tenant = await under().newTenant();
    for (let index = 0; index < MAX_MCP_SERVERS; index += 1) await under().registry.createServer(tenant, mcpServer(`server${index}`), null);
    expect((await rejection(under().registry.createServer(tenant, mcpServer('more'), null))).details).toMatchObject({ reason: 'too_many_mcp_servers' });
    await under().registry.deleteServer(tenant, 'server0');
    await under().registry.createServer(tenant, mcpServer('more'), null);
    expect((await rejection(under().registry.deleteServer(tenant, 'server0'))).code).toBe('not_found');
  });
}

function rates(under: Under): void {
  it("lets a minute's worth through at once and says when the next may come", async () => {
    const tenant = await under().newTenant();
    const take = () => under().registry.takeCall(tenant, [{ bucket: 'tool.one', perMinute: 300 }]);
    const verdicts = await Promise.all(Array.from({ length: 320 }, take));
    const granted = verdicts.filter((verdict) => verdict.allowed).length;
    // Calls that come while the others are counted add their even share, five a second.
    expect(granted).toBeGreaterThanOrEqual(300);
    expect(granted).toBeLessThan(320);
    const refused = verdicts.find((verdict) => !verdict.allowed)!;
    expect(refused).toMatchObject({ bucket: 'tool.one', retryAfterMs: expect.any(Number) });
    expect((refused as { retryAfterMs: number }).retryAfterMs).toBeLessThanOrEqual(200);
    await pause(250);
    expect(await take()).toEqual({ allowed: true });
  });

  it('counts against every rate or against none', async () => {
    const tenant = await under().newTenant();
    const both = [{ bucket: 'tool.one', perMinute: 2 }, { bucket: '*', perMinute: 3 }];
    expect([await under().registry.takeCall(tenant, both), await under().registry.takeCall(tenant, both)]).toEqual([{ allowed: true }, { allowed: true }]);
    for (let attempt = 0; attempt < 5; attempt += 1) expect(await under().registry.takeCall(tenant, both)).toMatchObject({ allowed: false, bucket: 'tool.one' });
    expect(await under().registry.takeCall(tenant, [{ bucket: '*', perMinute: 3 }]), 'refused calls took nothing').toEqual({ allowed: true });
    expect(await under().registry.takeCall(tenant, [{ bucket: '*', perMinute: 3 }])).toMatchObject({ allowed: false, bucket: '*' });
  });

  it('begins anew with a tool that is deleted', async () => {
    const tenant = await under().newTenant();
    const rate = [{ bucket: 'tool.one', perMinute: 1 }];
    await under().registry.createTool(tenant, webhookTool('tool.one'), 'sealed');
    await under().registry.takeCall(tenant, rate);
    expect(await under().registry.takeCall(tenant, rate)).toMatchObject({ allowed: false });
    await under().registry.deleteTool(tenant, 'tool.one');
    expect(await under().registry.takeCall(tenant, rate)).toEqual({ allowed: true });
  });
}

function tenants(under: Under): void {
  it("hides a tenant's tools, servers and rates from every other", verifies(['PRS-13-09', 'HLD-5.2-02'], async () => {
    const [owner, stranger] = [await under().newTenant(), await under().newTenant()];
    await under().registry.createTool(owner, webhookTool('tool.secret'), 'sealed');
    const server = await under().registry.createServer(owner, mcpServer('secret'), null);
    await under().registry.takeCall(owner, [{ bucket: '*', perMinute: 1 }]);
    const { registry } = under();
    expect(await registry.load(stranger)).toEqual({ tools: [], servers: [] });
    await expectSameRefusal(registry.deleteTool(stranger, 'tool.secret'), 'tool.secret', registry.deleteTool(stranger, 'tool.absent'), 'tool.absent');
    await expectSameRefusal(registry.replaceServer(stranger, mcpServer('secret'), null), 'secret', registry.replaceServer(stranger, mcpServer('absent'), null), 'absent');
    await registry.recordServer(stranger, server, { tools: [mcpTool('theirs')], state: 'connected', error: null });
    expect(await registry.takeCall(stranger, [{ bucket: '*', perMinute: 1 }])).toEqual({ allowed: true });
    await registry.createTool(stranger, webhookTool('tool.secret', { title: 'Theirs' }), 'sealed');
    const kept = await registry.load(owner);
    expect([kept.tools[0]!.title, kept.servers[0]!.tools]).toEqual(['Weather', []]);
  }));
}
