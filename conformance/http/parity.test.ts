/**
 * Two ways lead into the pipeline: hot operations come straight from node:http, all others through Express; with the
 * contract check on, every one goes through Express and the referee. The same request must get the same answer on
 * each. Two nodes over one database, one of each kind, are asked the same things.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../services/platform/ids.ts';
import { call, readEvents, untilEnded, type Call, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { send, type WireRequest } from '../harness/raw-http.ts';
import { badInputs } from '../vectors/bad-input.ts';
import { goldenPayload } from './golden.ts';
import { operation } from './operations.ts';
import { verifies } from './verifies.ts';

let hot: TestNode;
let checked: TestNode;
beforeAll(async () => {
  hot = await startNode({ env: { AGENTOS_CONTRACT_CHECK: 'off' } });
  checked = await startNode({ database: hot.database, env: { AGENTOS_CONTRACT_CHECK: 'on', AGENTOS_ROLE: 'api' } });
});
afterAll(async () => {
  await checked?.close();
  await hot?.close();
});

/** Members and headers that differ from request to request by nature. */
const VOLATILE = new Set(['correlation_id', 'run_id', 'events_url', 'created_at', 'started_at', 'completed_at', 'latency_ms', 'traceparent', 'request_id', 'idempotency_key', 'created']);
const COMPARED_HEADERS = ['content-type', 'x-tenant-id', 'allow', 'retry-after', 'cache-control', 'idempotency-replayed', 'x-content-type-options', 'www-authenticate'];

function stable(value: Json): Json {
  if (Array.isArray(value)) return value.map(stable);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, VOLATILE.has(name) ? '<volatile>' : stable(member)]));
}

async function both(service: 'agent-orchestrator' | 'model-policy', path: string, options: () => Call): Promise<void> {
  const shown = async (node: TestNode): Promise<Json> => {
    const answer = await call(node.urls[service], path, options());
    return { status: answer.status, body: stable(answer.body), headers: Object.fromEntries(COMPARED_HEADERS.map((name) => [name, answer.headers.get(name)])) };
  };
  expect(await shown(checked)).toEqual(await shown(hot));
}

describe('the two ways into the pipeline', () => {
  it('differ for hot operations only', () => {
    for (const id of ['createRun', 'getRun', 'streamRunEvents']) expect(operation('agent-orchestrator', id).hot, id).toBe(true);
    expect(operation('model-policy', 'invokeModel').hot).toBe(true);
    expect(operation('agent-orchestrator', 'listRuns').hot).toBe(false);
  });

  it('create a run alike', verifies(['PRS-4.2-01'], async () => {
    for (const body of [{ input: 'hello' }, goldenPayload('D.1-run-create.request.json'), { input: { text: 'hello' } }]) {
      await both('agent-orchestrator', '/v1/agents/agt_sample_echo_v1/runs', () => ({ body: { ...body, idempotency_key: `idem_${Math.random()}` } }));
    }
  }));

  it('replay and refuse a key alike', async () => {
    const body = { input: 'hello', idempotency_key: 'idem_parity' };
    const first = await call(hot.urls['agent-orchestrator'], '/v1/agents/agt_demo/runs', { body });
    // A replay answers the run as it is now; it is compared once that does not change any more.
    await untilEnded(hot.urls['agent-orchestrator'], first.body.run.run_id as string);
    await both('agent-orchestrator', '/v1/agents/agt_demo/runs', () => ({ body }));
    await both('agent-orchestrator', '/v1/agents/agt_demo/runs', () => ({ body: { ...body, input: 'other' } }));
  });

  it('read a run and its events alike', async () => {
    const { run } = (await call(checked.urls['agent-orchestrator'], '/v1/agents/agt_demo/runs', { body: { input: 'hello' } })).body;
    await untilEnded(hot.urls['agent-orchestrator'], run.run_id as string);
    await both('agent-orchestrator', `/v1/runs/${run.run_id}`, () => ({}));
    const [one, other] = [await readEvents(hot.urls['agent-orchestrator'], run.events_url as string), await readEvents(checked.urls['agent-orchestrator'], run.events_url as string)];
    expect(other.frames).toEqual(one.frames);
    expect(other.headers.get('content-type')).toBe(one.headers.get('content-type'));
  });

  it('answer OpenAI clients alike, their mistakes too', async () => {
    const headers = { 'x-request-id': 'req_parity' };
    for (const body of [{}, { n: 2 }, { model: 'gpt-99' }, { messages: 'hello' }]) {
      await both('model-policy', '/v1/chat/completions', () => ({ headers, body: { model: 'tier:fast', messages: [{ role: 'user', content: 'hello' }], ...body } }));
    }
    for (const input of ['hello', ['a', 'b'], [[1]], {}]) await both('model-policy', '/v1/embeddings', () => ({ headers, body: { model: 'builtin-embed-1', input } }));
  });

  it('invoke a model alike', async () => {
    for (const file of ['E.1-model-invoke-chat.request.json', 'E.4-model-invoke-embed.request.json']) await both('model-policy', '/v1/models:invoke', () => {
      // The nodes share a database, in which a request_id is one call.
      const body = goldenPayload(file) as { readonly request: object };
      return { body: { ...body, request: { ...body.request, request_id: newId('req') } } };
    });
  });
});

describe('bad input', () => {
  const inputs = badInputs.filter(({ operation, modes }) => ['createRun', 'getRun', 'streamRunEvents', 'invokeModel'].includes(operation) && (modes?.includes('demo') ?? true));

  it.each(inputs.map((input) => [`${input.operation} ${input.name}`, input.service, input.request] as const))('%s', async (_name, service, request: WireRequest) => {
    const shown = async (node: TestNode): Promise<Json> => {
      const answer = await send(node.urls[service], request);
      const body = JSON.parse(answer.body) as Json;
      return { status: answer.status, code: body.error.code, message: body.error.message };
    };
    const [fromHot, fromChecked] = [await shown(hot), await shown(checked)];
    expect({ ...fromChecked, message: '' }).toEqual({ ...fromHot, message: '' });
  });
});
