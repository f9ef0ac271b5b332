/**
 * The parts of the catalogue that look outwards, against running nodes: URLs that no tenant may make a node call, in each
 * mode and in every place that takes a URL; what a receiver of webhooks must refuse; and what waits for forwarding.
 */
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyWebhook } from '../../services/platform/webhooks/standard-webhooks.ts';
import { TENANT_SCOPES } from '../../services/platform/tenancy/scopes.ts';
import { call, untilEnded, type Answer, type Json } from '../harness/client.ts';
import { storeKeys } from '../harness/keys.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { startReceiver, type WebhookReceiver } from '../harness/webhook-receiver.ts';
import { ssrfVectors, type SsrfVector } from '../vectors/ssrf.ts';
import { webhookVectors, type DeliveredWebhook, type WebhookVector } from '../vectors/webhooks.ts';
import { verifies } from './verifies.ts';

const AO = 'agent-orchestrator';

describe.each(['demo', 'dev', 'prod'] as const)('a URL that may not be called, in %s', (mode) => {
  let node: TestNode;
  let trap: Server;
  let caught = 0;
  let key: string;
  beforeAll(async () => {
    // Listens where every spelling of this machine leads: whoever connects here has been deceived.
    trap = createServer((socket) => {
      caught += 1;
      socket.destroy();
    });
    await new Promise<void>((resolve) => trap.listen(0, () => resolve()));
    node = await startNode({ mode, env: { AGENTOS_EGRESS_PORTS: String((trap.address() as AddressInfo).port), AGENTOS_CONTRACT_CHECK: 'off' } });
    [key] = (await storeKeys(node.database.url, [{ scopes: TENANT_SCOPES }])) as [string];
  });
  afterAll(async () => {
    await node?.close();
    await new Promise((resolve) => trap.close(resolve));
  });

  const post = (path: string, body: Json): Promise<Answer> => call(node.urls[AO], path, { method: 'POST', tenant: 'tnt_demo', headers: { 'x-api-key': key }, body });
  let made = 0;
  /** How a place that takes a URL is asked, how it refuses one, and what it says when a name that was taken turns out to lead inside. */
  const places: ReadonlyArray<readonly [string, readonly number[], (url: string) => Promise<Answer>, (made: Json) => Promise<Answer>]> = [
    ['a webhook', [400, 403], (url) => post('/v1/webhooks', { url, event_types: ['agentos.run.*'] }), ({ webhook }) => post(`/v1/webhooks/${webhook.webhook_id}:test`, undefined)],
    ['a tool', [400], (url) => post('/v1/tools', { tool_id: `tool.trap.n${(made += 1)}`, name: 'Trap', description: 'A trap.', input_schema: { type: 'object' }, webhook: { url } }), ({ tool }) => calledInRun(tool.tool_id as string)],
    ['an MCP server', [400], (url) => post('/v1/mcp-servers', { server_id: `trap${(made += 1)}`, transport: { type: 'streamable_http', url } }), ({ mcp_server }) => post(`/v1/mcp-servers/${mcp_server.server_id}:refresh`, undefined)],
  ];

  /** What came of the tool in a run that is told to use it. */
  async function calledInRun(toolId: string): Promise<Answer> {
    const agentId = `agt_${toolId.replaceAll('.', '_')}`;
    await node.agent('tnt_demo', { agentId, tools: [toolId] });
    const { run } = (await post(`/v1/agents/${agentId}/runs`, { input: `Use ${toolId}.`, idempotency_key: `idem_${toolId}` })).body;
    await untilEnded(node.urls[AO], run.run_id as string, { tenant: null, headers: { 'x-api-key': key } });
    const history = await call(node.urls[AO], `/v1/runs/${run.run_id}/history`, { tenant: null, headers: { 'x-api-key': key } });
    return { ...history, body: history.body.events.map(({ event }: Json) => event.payload).filter((payload: Json) => payload.tool_id === toolId && payload.status !== undefined) };
  }

  it.each(places)('is refused for %s, whatever its spelling', verifies(['PRS-10.1-03'], async (_place, statuses, ask, use) => {
    const wrong: string[] = [];
    for (const vector of ssrfVectors) {
      const answer = await ask(urlOf(vector, trap));
      // A name is taken for what it says, and judged by where it leads each time that it is called.
      const refusal = answer.status === 201 && /localhost/i.test(vector.url) ? await use(answer.body) : answer;
      const text = JSON.stringify(refusal.body);
      const refused = refusal === answer ? statuses.includes(answer.status) && answer.body.error.correlation_id === undefined && typeof answer.body.correlation_id === 'string' : /egress|may connect|may call/.test(text) && !/"delivered":true|"connected"|"status":"ok"/.test(text);
      if (!refused) wrong.push(`${vector.name} (${vector.rule}): ${refusal.status} ${text.slice(0, 300)}`);
    }
    expect(wrong).toEqual([]);
  }));

  it('was never called', () => {
    expect(caught).toBe(0);
    expect(node.logLines.filter((line) => /"level":"?(error|50|fatal|60)/.test(line) && line.includes('"operation":'))).toEqual([]);
  });
});

function urlOf(vector: SsrfVector, trap: Server): string {
  return vector.url.replaceAll('{port}', String((trap.address() as AddressInfo).port));
}

describe('a webhook', () => {
  let node: TestNode;
  let receiver: WebhookReceiver;
  let secret: string;
  let delivered: DeliveredWebhook;
  beforeAll(async () => {
    receiver = await startReceiver();
    node = await startNode({ env: { AGENTOS_EGRESS_ALLOW: receiver.allow, AGENTOS_WEBHOOK_RETRY_MS: '50' } });
    receiver.answer((_received, index) => ({ status: index === 0 ? 500 : 204 }));
    const webhook = await call(node.urls[AO], '/v1/webhooks', { body: { url: receiver.url, event_types: ['agentos.run.created', 'agentos.run.completed'] } });
    secret = webhook.body.webhook.secret as string;
    await call(node.urls[AO], '/v1/agents/agt_demo/runs', { body: { input: 'hello' } });
    await receiver.until((received) => received.filter(({ status }) => status === 204).length >= 2);
    const good = receiver.received.find(({ status }) => status === 204)!;
    delivered = { headers: Object.fromEntries(Object.entries(good.headers).map(([name, value]) => [name, String(value)])), raw: good.raw };
  });
  afterAll(async () => {
    await node?.close();
    await receiver?.close();
  });

  it.each(webhookVectors)('$name', ({ accepted, change, laterSeconds = 0 }: WebhookVector) => {
    const { headers, raw } = change(delivered);
    const nowMs = Number(delivered.headers['webhook-timestamp']) * 1_000 + laterSeconds * 1_000;
    expect(isAccepted(secret, headers, raw, nowMs)).toBe(accepted);
    expect(isAccepted(`whsec_${Buffer.alloc(32, 7).toString('base64')}`, headers, raw, nowMs), 'under another secret').toBe(false);
  });

  it('that is tried again keeps its id, and gets a time and a signature of its own', verifies(['PRS-5.2-09'], () => {
    const [first] = receiver.received;
    const again = receiver.received.filter(({ headers }) => headers['webhook-id'] === first!.headers['webhook-id']);
    expect(again.length).toBeGreaterThanOrEqual(2);
    expect(again.map(({ raw }) => raw)).toEqual(again.map(() => first!.raw));
    for (const { headers, raw } of again) {
      const nowMs = Number(headers['webhook-timestamp']) * 1_000;
      expect(isAccepted(secret, Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])), raw, nowMs)).toBe(true);
    }
  }));
});

function isAccepted(secret: string, headers: Readonly<Record<string, string>>, raw: string, nowMs: number): boolean {
  try {
    verifyWebhook({ headers, body: raw, secrets: [secret], nowMs });
    return true;
  } catch {
    return false;
  }
}
