/** Clients that are slow on purpose, against a running node: each is closed in its time, and nobody else waits (slowloris). */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
beforeAll(async () => {
  node = await startNode();
});
afterAll(() => node?.close());

interface Ending {
  readonly seconds: number;
  readonly heard: string;
}

/** Sends the start at once, then what follows a byte a second. */
function trickle(start: string, rest: string): Promise<Ending> {
  const { hostname, port } = new URL(node.urls['agent-orchestrator']);
  return new Promise((resolve) => {
    const startedAt = performance.now();
    const socket = connect(Number(port), hostname);
    let heard = '';
    let next = 0;
    socket.write(start);
    const timer = setInterval(() => rest !== '' && socket.writable && socket.write(rest[next++ % rest.length]!), 1_000);
    socket.on('data', (chunk: Buffer) => { heard += chunk.toString(); });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearInterval(timer);
      resolve({ seconds: (performance.now() - startedAt) / 1_000, heard });
    });
  });
}

describe('a slow client', () => {
  const POST = 'POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nX-Tenant-Id: tnt_demo\r\nContent-Type: application/json\r\n';
  it('is closed within 15 s in its headers and within 35 s in its body, while others are served', verifies(['PRS-13-10'], async () => {
    const slow = {
      silence: trickle('', ''),
      headers: trickle('GET /v1/health HTTP/1.1\r\nHost: localhost\r\n', 'X-A: b\r\n'),
      body: trickle(`${POST}Content-Length: 100000\r\n\r\n{"input":"`, 'x'),
      chunks: trickle(`${POST}Transfer-Encoding: chunked\r\n\r\n2\r\n{"`, ''),
    };
    let open = 4;
    for (const each of Object.values(slow)) void each.then(() => (open -= 1));
    let served = 0;
    while (open > 0) {
      expect((await call(node.urls['agent-orchestrator'], '/v1/runs')).status).toBe(200);
      served += 1;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    expect(served).toBeGreaterThan(10);
    const [silence, headers, body, chunks] = await Promise.all([slow.silence, slow.headers, slow.body, slow.chunks]);
    for (const [name, { heard }] of Object.entries({ headers, body, chunks })) {
      expect(heard, name).toMatch(/^HTTP\/1\.1 408 /);
      expect(JSON.parse(heard.slice(heard.indexOf('\r\n\r\n') + 4)), name).toMatchObject({ error: { code: 'timeout' } });
    }
    // The figures of the catalogue; a server without them would hold on for minutes.
    for (const { seconds } of [silence, headers]) expect(seconds).toBeLessThan(15);
    for (const { seconds } of [body, chunks]) expect(seconds).toBeLessThan(35);
  }), 180_000);
});
