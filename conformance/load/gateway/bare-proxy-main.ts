/** The least that a proxy in Node can be: node:http in front, undici behind, bytes handed on as they come. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'undici';

const upstream = new Pool(process.env['BENCH_UPSTREAM']!, { connections: 128, pipelining: 1 });

async function forward(path: string, body: Buffer, response: ServerResponse): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  await upstream.stream({ method: 'POST', path, headers, body, opaque: response }, ({ statusCode, headers: answered, opaque }) => {
    delete answered['connection'];
    delete answered['keep-alive'];
    delete answered['transfer-encoding'];
    return (opaque as ServerResponse).writeHead(statusCode, answered as Record<string, string>);
  });
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    forward(request.url!, Buffer.concat(chunks), response).catch((error: unknown) => response.destroy(error as Error));
  });
});
server.keepAliveTimeout = 600_000;
server.listen(0, '127.0.0.1', () => process.send!({ port: (server.address() as AddressInfo).port }));
process.on('disconnect', () => process.exit(0));
