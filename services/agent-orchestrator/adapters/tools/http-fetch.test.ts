import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contextOf, rejection } from '../../../../conformance/ports/fixtures.ts';
import { EgressClient } from '../../../platform/egress/egress-client.ts';
import { EgressPolicy } from '../../../platform/egress/egress-policy.ts';
import type { AgentPermissions } from '../../ports/agents.ts';
import type { CallingRun } from '../../ports/tool.ts';
import { MemoryMemory } from '../memory-memory.ts';
import { BuiltinTools } from '../tool-builtin.ts';
import { httpFetchTool } from './http-fetch.ts';

let server: Server;
let port: number;
let egress: EgressClient;
let tools: BuiltinTools;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let requests = 0;

beforeAll(async () => {
  server = createServer((request, response) => {
    requests += 1;
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
  egress = new EgressClient({ policy: new EgressPolicy({ allow: [`127.0.0.1:${port}`] }), resolve: async () => ['127.0.0.1'] });
  tools = new BuiltinTools(new MemoryMemory(), [httpFetchTool(egress)]);
});
afterAll(async () => {
  await egress.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

type Output = { status: number; url: string; headers: Record<string, string>; body: string | null; truncated: boolean };

const invoke = (input: unknown, permissions: AgentPermissions = {}): Promise<Output> =>
  tools.invoke(contextOf('tnt_one'), {
    toolId: 'tool.http.fetch', input, toolCallId: 'tcall_one', timeoutMs: 5_000, signal: new AbortController().signal, traceparent: '', run: { permissions } as CallingRun,
  }) as Promise<Output>;

const url = (path = '/'): string => `http://api.example:${port}${path}`;

describe('tool.http.fetch', () => {
  it('answers status, main headers and text', async () => {
    answer = (_request, response) => response.writeHead(404, { 'content-type': 'application/json', 'set-cookie': 'secret=1', etag: '"1"' }).end('{"error":"none"}');
    expect(await invoke({ url: url('/a?b=c') })).toEqual({ status: 404, url: url('/a?b=c'), headers: { 'content-type': 'application/json', etag: '"1"' }, body: '{"error":"none"}', truncated: false });
  });

  it('sends what it is given', async () => {
    answer = (request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString())).on('end', () => response.end(`${request.method} ${request.headers['x-own']} ${body}`));
    };
    expect((await invoke({ url: url(), method: 'POST', headers: { 'X-Own': 'yes' }, body: 'text' })).body).toBe('POST yes text');
    expect(await invoke({ url: url(), method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
    for (const input of [{ url: url(), method: 'DELETE' }, { url: url(), headers: { 'a b': 'c' } }, { url: 7 }, { url: url(), more: 1 }]) expect((await rejection(invoke(input))).code).toBe('invalid_request');
  });

  it('cuts what is too long for a prompt, and shows no bytes', async () => {
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' });
      const more = (): void => void (response.destroyed || (response.write('x'.repeat(65_536)) ? setImmediate(more) : response.once('drain', more)));
      more();
    };
    const long = await invoke({ url: url() });
    expect([long.body!.length, long.truncated]).toEqual([48 * 1024, true]);
    answer = (_request, response) => response.writeHead(200, { 'content-type': 'image/png' }).end(Buffer.from([0x89, 0x50, 0, 1]));
    expect(await invoke({ url: url() })).toMatchObject({ body: null, truncated: false });
  });

  it('reaches what its agent is permitted, also behind a redirect', async () => {
    const [tool] = (await tools.list(contextOf('tnt_one'))).filter(({ toolId }) => toolId === 'tool.http.fetch');
    expect(tool!.reach!({ url: 'http://API.example./x' })).toEqual([{ kind: 'host', name: 'api.example' }]);
    expect(tool!.reach!({ url: 'not a url' })).toEqual([]);
    answer = (request, response) => (request.url === '/' ? response.writeHead(302, { location: `http://other.example:${port}/there` }).end() : response.end('there'));
    requests = 0;
    expect(await rejection(invoke({ url: url() }, { hosts: ['api.example'] }))).toMatchObject({ code: 'forbidden', details: { rule: 'host_not_permitted' } });
    expect(requests).toBe(1);
    expect((await invoke({ url: url() }, { hosts: ['*.example'] })).body).toBe('there');
    expect((await invoke({ url: url() })).body).toBe('there');
  });

  it('stays under the egress rules', async () => {
    for (const target of ['http://169.254.169.254/', 'http://[::1]/', 'file:///etc/passwd', 'http://user:word@api.example/']) expect((await rejection(invoke({ url: target }))).details['reason'], target).toBe('egress_refused');
  });

  it('says when an answer breaks off', async () => {
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain', 'content-length': '1000' });
      response.write('half');
      setTimeout(() => response.destroy(), 50);
    };
    expect(await rejection(invoke({ url: url() }))).toMatchObject({ code: 'dependency_unavailable', details: { reason: 'broken_off' } });
  });
});
