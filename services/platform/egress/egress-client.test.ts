import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { publicAddresses, refusedAddresses, ssrfVectors } from '../../../conformance/vectors/ssrf.ts';
import { AgentOsError } from '../errors.ts';
import { isPublicAddress } from './address.ts';
import { EgressClient, type EgressRequest, type ResolveHost } from './egress-client.ts';
import { egressFetch } from './egress-fetch.ts';
import { EgressPolicy } from './egress-policy.ts';

let server: Server;
let port: number;
let connections = 0;
let requests: { readonly url: string; readonly method: string; readonly headers: IncomingMessage['headers'] }[] = [];
let answer: (request: IncomingMessage, response: ServerResponse) => void;
const clients: EgressClient[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    requests.push({ url: request.url!, method: request.method!, headers: request.headers });
    answer(request, response);
  });
  server.on('connection', () => (connections += 1));
  await new Promise<void>((resolve) => server.listen(0, '::', resolve));
  port = (server.address() as AddressInfo).port;
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  connections = 0;
  requests = [];
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** Its ports are open everywhere, so that only an address stands between a request and the socket. */
function strict(resolve?: ResolveHost): EgressClient {
  return kept(new EgressClient({ policy: new EgressPolicy({ ports: ['80', '443', String(port)] }), ...(resolve === undefined ? {} : { resolve }) }));
}

/** May reach the socket of this test, as an operator would have it. */
function open(resolve?: ResolveHost, allow = [`127.0.0.1:${port}`]): EgressClient {
  return kept(new EgressClient({ policy: new EgressPolicy({ allow }), ...(resolve === undefined ? {} : { resolve }) }));
}

function kept(client: EgressClient): EgressClient {
  clients.push(client);
  return client;
}

const ask = (url: string, more: Partial<EgressRequest> = {}): EgressRequest => ({ url, timeoutMs: 5_000, maxResponseBytes: 10_000, ...more });

async function failure(promise: Promise<unknown>): Promise<AgentOsError> {
  const error = await promise.then((value) => expect.fail(`answered ${JSON.stringify(value)}`), (thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(AgentOsError);
  return error as AgentOsError;
}

const local = (path = '/'): string => `http://127.0.0.1:${port}${path}`;

describe('what is refused', () => {
  it.each(ssrfVectors.map((vector) => [vector.name, vector] as const))('%s', async (_name, vector) => {
    const error = await failure(strict().request(ask(vector.url.replaceAll('{port}', String(port)))));
    expect([error.code, error.details['reason'], error.details['rule']]).toEqual(['forbidden', 'egress_refused', vector.rule]);
    expect(connections).toBe(0);
  });

  it.each(refusedAddresses)('a name that resolves to %s', async (address) => {
    const error = await failure(strict(async () => [address]).request(ask(`http://innocent.example:${port}/`)));
    expect([error.code, error.details['rule']]).toEqual(['forbidden', 'address']);
    expect(error.message).not.toContain(address);
    expect(connections).toBe(0);
  });

  it('a name that was public when it was judged and is not when it is connected to', async () => {
    let asked = 0;
    const rebinding: ResolveHost = async () => (++asked === 1 ? ['192.0.2.7'] : ['127.0.0.1']);
    const client = strict(rebinding);
    for (let attempt = 0; attempt < 4; attempt += 1) expect((await failure(client.request(ask(`http://rebind.example:${port}/`)))).code).toBe('forbidden');
    expect(asked, 'each connection resolves and judges anew').toBe(4);
    expect(connections).toBe(0);
  });

  it('an unresolvable name, as a dependency and not as a rule', async () => {
    const error = await failure(strict(async () => Promise.reject(new Error('ENOTFOUND'))).request(ask('http://absent.example/')));
    expect([error.code, error.details['reason']]).toEqual(['dependency_unavailable', 'unresolved']);
  });

  it.each(refusedAddresses)('%s is not public', (address) => expect(isPublicAddress(address)).toBe(false));
  it.each(publicAddresses)('%s is public', (address) => expect(isPublicAddress(address)).toBe(true));
});

describe('what configuration opens', () => {
  it('an address on a port, and nothing beside it', async () => {
    answer = (_request, response) => response.end('here');
    expect((await open().request(ask(local()))).body.toString()).toBe('here');
    for (const url of [`http://127.0.0.2:${port}/`, 'http://127.0.0.1/', `http://[::1]:${port}/`, `http://localhost:${port}/`]) {
      const outcome = open(async () => ['127.0.0.9']).request(ask(url));
      expect((await failure(outcome)).code, url).toBe('forbidden');
    }
  });

  it('a name with its port, wherever on the private side it resolves to, but no metadata service', async () => {
    answer = (_request, response) => response.end('here');
    const allow = [`tools.internal:${port}`];
    expect((await open(async () => ['127.0.0.1'], allow).request(ask(`http://Tools.Internal:${port}/`))).status).toBe(200);
    expect((await failure(open(async () => ['169.254.169.254'], allow).request(ask(`http://tools.internal:${port}/`)))).code).toBe('forbidden');
    expect((await failure(open(async () => ['127.0.0.1'], allow).request(ask(`http://other.internal:${port}/`)))).code).toBe('forbidden');
  });

  it('a range, on the ports that are open everywhere', () => {
    const policy = new EgressPolicy({ allow: ['10.1.0.0/16', '[fd00::]/8:9000'] });
    expect(policy.checkUrl('http://10.1.2.3/').href).toBe('http://10.1.2.3/');
    expect(policy.checkUrl('http://[fd12::1]:9000/').port).toBe('9000');
    for (const url of ['http://10.2.0.1/', 'http://10.1.2.3:9000/', 'http://[fd12::1]/', 'http://10.1.2.3:22/']) expect(() => policy.checkUrl(url), url).toThrow(AgentOsError);
  });

  it('connects to the permitted ones of several addresses', async () => {
    answer = (_request, response) => response.end('here');
    const answered = await open(async () => ['169.254.169.254', '10.9.9.9', '127.0.0.1']).request(ask(`http://many.example:${port}/`));
    expect(answered.body.toString()).toBe('here');
  });

  it.each(['', '10.0.0.0/33', 'http://x', 'host:0', 'host:99999', '300.1.1.1', 'a b', '10.0.0.0/8/8', '*'])('refuses the entry %j', (entry) => {
    expect(() => new EgressPolicy({ allow: [entry] })).toThrow(/neither|prefix|port/);
  });
});

describe('redirects', () => {
  const redirecting = (location: string, status = 302): void => {
    answer = (request, response) => (request.url === '/' ? response.writeHead(status, { location }).end('moved') : response.end(`${request.method} ${request.url}`));
  };

  it('are followed, three at most', async () => {
    answer = (request, response) => response.writeHead(302, { location: `/${Number(request.url!.slice(1) || 0) + 1}` }).end();
    expect((await failure(open().request(ask(local())))).details['rule']).toBe('redirect');
    expect(requests.map((request) => request.url)).toEqual(['/', '/1', '/2', '/3']);
    redirecting('/there');
    expect((await open().request(ask(local()))).url).toBe(local('/there'));
  });

  it.each(ssrfVectors.filter((vector) => vector.rule !== 'bad_url').map((vector) => [vector.name, vector] as const))('to %s are refused', async (_name, vector) => {
    // An open port of another number: the first hop goes to this test's own socket, the second must go nowhere.
    const client = kept(new EgressClient({ policy: new EgressPolicy({ allow: [`127.0.0.1:${port}`], ports: ['80', '443', '1'] }) }));
    answer = (_request, response) => response.writeHead(302, { location: vector.url.replaceAll('{port}', '1').replace(/[^\x00-\x7f]/g, (letter) => encodeURIComponent(letter)) }).end();
    const error = await failure(client.request(ask(local())));
    expect([error.code, error.details['rule']]).toEqual(['forbidden', vector.rule]);
    expect(requests).toHaveLength(1);
  });

  it('become GET after 303 and after a POST that moved, and stay POST after 307', async () => {
    for (const [status, expected] of [[303, 'GET /there'], [302, 'GET /there'], [301, 'GET /there'], [307, 'POST /there'], [308, 'POST /there']] as const) {
      redirecting('/there', status);
      const answered = await open().request(ask(local(), { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } }));
      expect(answered.body.toString(), String(status)).toBe(expected);
    }
  });

  it('leave credentials behind at another origin, keep them at the same', async () => {
    const headers = { Authorization: 'Bearer secret', Cookie: 'a=b', 'X-Api-Key': 'secret', Accept: 'text/plain' };
    redirecting('/there');
    await open().request(ask(local(), { headers }));
    expect(requests.at(-1)!.headers).toMatchObject({ authorization: 'Bearer secret', 'x-api-key': 'secret' });
    redirecting(`http://other.example:${port}/there`);
    await open(async () => ['127.0.0.1'], [`127.0.0.1:${port}`]).request(ask(local(), { headers }));
    const last = requests.at(-1)!.headers;
    expect(last).toMatchObject({ accept: 'text/plain', host: `other.example:${port}` });
    expect(JSON.stringify(last)).not.toContain('secret');
    expect(last.cookie).toBeUndefined();
  });

  it('and headers of the connection are not the caller’s to set', async () => {
    answer = (_request, response) => response.end();
    await open().request(ask(local(), { headers: { Host: 'internal.example', 'Transfer-Encoding': 'chunked', Connection: 'upgrade', 'Proxy-Authorization': 'x', 'X-Own': 'yes' } }));
    expect(requests[0]!.headers).toMatchObject({ host: `127.0.0.1:${port}`, 'x-own': 'yes' });
    expect(Object.keys(requests[0]!.headers)).not.toEqual(expect.arrayContaining(['proxy-authorization']));
  });

  it('are asked about at each hop', async () => {
    redirecting('/there');
    const hosts: string[] = [];
    await open().request(ask(local(), { permit: (url) => hosts.push(url.pathname) }));
    expect(hosts).toEqual(['/', '/there']);
  });
});

describe('bounds', () => {
  it('cuts an endless body', async () => {
    answer = (_request, response) => {
      const timer = setInterval(() => response.write('x'.repeat(4_096)), 1);
      response.on('close', () => clearInterval(timer));
    };
    expect((await failure(open().request(ask(local())))).details['reason']).toBe('answer_too_large');
  });

  it.each([['gzip', gzipSync], ['br', brotliCompressSync]] as const)('unpacks %s and stops at a bomb', async (encoding, pack) => {
    const [small, bomb] = [pack(Buffer.alloc(1_000, 'a')), pack(Buffer.alloc(20_000_000, 'a'))];
    answer = (request, response) => response.writeHead(200, { 'content-encoding': encoding }).end(request.url === '/bomb' ? bomb : small);
    expect((await open().request(ask(local()))).body.toString()).toBe('a'.repeat(1_000));
    expect((await failure(open().request(ask(local('/bomb'))))).details['reason']).toBe('answer_too_large');
  });

  it.each([['gzip, gzip', 'unknown_content_encoding'], ['zstd-of-tomorrow', 'unknown_content_encoding'], ['gzip', 'bad_content_encoding']])('refuses %s that is none', async (encoding, reason) => {
    answer = (_request, response) => response.writeHead(200, { 'content-encoding': encoding }).end('not packed at all');
    expect((await failure(open().request(ask(local())))).details['reason']).toBe(reason);
  });

  it('bounds the time of a slow head, a slow body, and a slow chain of redirects', async () => {
    answer = (request, response) => {
      if (request.url === '/head') return;
      if (request.url === '/body') response.writeHead(200).write('a');
      else setTimeout(() => response.writeHead(302, { location: '/again' }).end(), 150);
    };
    for (const path of ['/head', '/body', '/']) expect((await failure(open().request(ask(local(path), { timeoutMs: 250 })))).code, path).toBe('timeout');
  });

  it('stops when it is told to', async () => {
    answer = () => undefined;
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    const error = await failure(open().request(ask(local(), { timeoutMs: 30_000, signal: controller.signal })));
    expect([error.code, error.details['reason']]).toEqual(['timeout', 'aborted']);
  });

  it('says that nobody answers', async () => {
    const error = await failure(open(undefined, ['127.0.0.1:1']).request(ask('http://127.0.0.1:1/')));
    expect([error.code, error.details['reason']]).toEqual(['dependency_unavailable', 'unreachable']);
  });

  it('reads no proxy variables', async () => {
    answer = (_request, response) => response.end('direct');
    const names = ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'ALL_PROXY', 'NODE_USE_ENV_PROXY'];
    for (const name of names) process.env[name] = name === 'NODE_USE_ENV_PROXY' ? '1' : 'http://127.0.0.1:1';
    try {
      expect((await open().request(ask(local()))).body.toString()).toBe('direct');
    } finally {
      for (const name of names) delete process.env[name];
    }
  });
});

describe('fetch', () => {
  it('answers as fetch does, under the same rules', async () => {
    answer = (request, response) => response.writeHead(201, { 'x-seen': request.headers['x-sent'] ?? '' }).end(JSON.stringify({ method: request.method }));
    const fetch = egressFetch(open(), { maxResponseBytes: 1_000 });
    const response = await fetch(local(), { method: 'post', body: '{}', headers: { 'X-Sent': 'yes' } });
    expect([response.status, response.ok, response.headers.get('x-seen'), await response.json()]).toEqual([201, true, 'yes', { method: 'POST' }]);
    expect((await failure(fetch(`http://127.0.0.2:${port}/`))).code).toBe('forbidden');
  });

  it('ends the connection of a body that is not read to its end', async () => {
    const closed = new Promise<void>((resolve) => {
      answer = (_request, response) => {
        response.on('close', () => resolve());
        response.writeHead(200).write('data: 1\n\n');
      };
    });
    const response = await egressFetch(open(), { maxResponseBytes: 1_000 })(local());
    const reader = response.body!.getReader();
    expect(Buffer.from((await reader.read()).value!).toString()).toBe('data: 1\n\n');
    await reader.cancel();
    await closed;
  });
});
