import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createAgentOrchestratorClient, streamRunEvents } from '../../generated/client/agent-orchestrator.ts';
import type { Contract } from '../../scripts/contract/contract-model.ts';
import { createFront, streamMocks } from '../../scripts/contract/mock-server.ts';
import { verifies } from '../http/verifies.ts';
import { realContract } from './draft.ts';

const servers: Server[] = [];
let contract: Contract;
let url: string;

function listen(server: Server): Promise<string> {
  servers.push(server);
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)));
}

beforeAll(async () => {
  contract = await realContract();
  const upstream = await listen(
    createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
        response.writeHead(207, { 'content-type': 'application/json', 'x-seen': request.headers['x-tenant-id'] ?? '' });
        response.end(JSON.stringify({ method: request.method, url: request.url, body: Buffer.concat(chunks).toString() }));
      });
    }),
  );
  url = await listen(createFront(streamMocks(contract.openapi['agent-orchestrator']), new URL(upstream)));
});
afterAll(() => Promise.all(servers.map((server) => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }))));

const params = { path: { run_id: 'run_1' } };

it('streams the frames of the example, typed by the generated client', verifies(['PRS-4.2-06'], async () => {
  const client = createAgentOrchestratorClient({ baseUrl: url });
  const types: string[] = [];
  const sequences: number[] = [];
  for await (const { event } of streamRunEvents(client, params)) {
    types.push(event.type);
    sequences.push(event.sequence);
  }
  expect(types).toEqual(['agentos.run.step.started', 'agentos.run.completed']);
  expect(sequences).toEqual([12, 13]);
}));

it('goes on after the cursor that is asked for', async () => {
  const client = createAgentOrchestratorClient({ baseUrl: url });
  const sequences: number[] = [];
  for await (const { event } of streamRunEvents(client, params, { lastSequence: 12 })) sequences.push(event.sequence);
  expect(sequences).toEqual([13]);
});

it('lets a reader leave in the middle', async () => {
  const client = createAgentOrchestratorClient({ baseUrl: url });
  for await (const { event } of streamRunEvents(client, params)) {
    expect(event.sequence).toBe(12);
    break;
  }
});

it('passes everything else on, as it came', async () => {
  const response = await fetch(`${url}/v1/agents/a/runs?x=1`, { method: 'POST', body: '{"input":"hello"}', headers: { 'content-type': 'application/json', 'x-tenant-id': 'tnt_demo' } });
  expect(response.status).toBe(207);
  expect(response.headers.get('x-seen')).toBe('tnt_demo');
  expect(await response.json()).toEqual({ method: 'POST', url: '/v1/agents/a/runs?x=1', body: '{"input":"hello"}' });
});

it('streams from a mixed operation only when the body asks for it', async () => {
  const mocks = streamMocks(contract.openapi['model-policy']);
  const chat = mocks.find(({ path }) => path.test('/v1/chat/completions'));
  expect(chat?.onRequestOnly).toBe(true);
  const front = await listen(createFront(mocks, new URL(url)));
  const ask = (body: object): Promise<Response> => fetch(`${front}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
  const streamed = await ask({ stream: true });
  expect(streamed.headers.get('content-type')).toContain('text/event-stream');
  expect(await streamed.text()).toContain('data: [DONE]');
  expect((await ask({ stream: false })).status).toBe(207);
});
