import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { X509Certificate } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { decodeProtectedHeader } from 'jose';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createAuthority, issueCertificate, stackCertificate, type CertificateAndKey } from '../../../conformance/harness/certificate.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { ConfigError, loadConfig } from '../../platform/config/load.ts';
import { thumbprintOf } from './assertions.ts';
import { MOST_CONNECTIONS, NEEDED_FOR_PEERS, openPeerTrust, type PeerTrust } from './open-trust.ts';

const folder = mkdtempSync(join(tmpdir(), 'agentos-trust-'));
const lines: string[] = [];
const log = pino({}, { write: (line: string) => void lines.push(line) });
let authority: CertificateAndKey;
let another: CertificateAndKey;
const opened: PeerTrust[] = [];
const servers: Server[] = [];

beforeAll(async () => {
  authority = await createAuthority('of the nodes');
  another = await createAuthority('of somebody else');
});
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  for (const trust of opened.splice(0)) await trust.close();
  lines.length = 0;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
};
const files = (name: string, { cert, key }: CertificateAndKey, ca = authority.cert): Record<string, string> => ({
  AGENTOS_FED_SERVER_CERT: file(`${name}.crt`, cert), AGENTOS_FED_SERVER_KEY: file(`${name}.key`, key), AGENTOS_FED_CA_CERT: file(`${name}.ca`, ca),
});
const open = (stackId: string, env: Readonly<Record<string, string>>, authorityOf: (stackId: string) => string | null = () => null): PeerTrust | null => {
  const trust = openPeerTrust(loadConfig({ env, envFile: null }), { ownStackId: stackId, authorityOf }, log, 20);
  if (trust !== null) opened.push(trust);
  return trust;
};

/** A listener of `stk_b` that answers with the thumbprint of whoever calls. */
async function serve(trust: PeerTrust): Promise<number> {
  const server = createServer(trust.server.current(), (request, response) => response.end(thumbprintOf((request.socket as TLSSocket).getPeerX509Certificate()!)));
  trust.server.subscribe((next) => server.setSecureContext(next));
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function handshake(port: number, options: ConnectionOptions): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', ca: authority.cert, ...options });
  const closed = once(socket, 'close').then(() => Promise.reject(new Error('closed')));
  closed.catch(() => undefined);
  try {
    await once(socket, 'secureConnect');
    // In TLS 1.3 the server refuses a client's certificate after the client believes that all is well.
    socket.write('GET / HTTP/1.1\r\nHost: b\r\n\r\n');
    await Promise.race([once(socket, 'data'), closed]);
    return `${socket.getProtocol()} ${socket.isSessionReused() ? 'resumed' : 'new'}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
  } finally {
    socket.destroy();
  }
}

describe('the listener of a node', () => {
  it('lets nobody in without a certificate of the authority, over TLS 1.3', verifies(['PRS-7.4-01', 'RM-05'], async () => {
    const b = open('stk_b', files('b', await stackCertificate(authority, 'stk_b')))!;
    const port = await serve(b);
    const good = await stackCertificate(authority, 'stk_a');
    expect(await handshake(port, good)).toBe('TLSv1.3 new');
    expect(await handshake(port, {})).toMatch(/CERTIFICATE_REQUIRED|ECONNRESET|EPIPE|^closed$/);
    expect(await handshake(port, await stackCertificate(another, 'stk_a'))).toMatch(/UNKNOWN_CA|ECONNRESET|EPIPE|^closed$/);
    expect(await handshake(port, await stackCertificate(authority, 'stk_a', { days: -1 }))).toMatch(/CERTIFICATE_EXPIRED|ECONNRESET|EPIPE|^closed$/);
    expect(await handshake(port, { ...good, maxVersion: 'TLSv1.2' })).toMatch(/PROTOCOL_VERSION|ECONNRESET|^closed$/);
  }));

  it('has every connection show its certificate anew', async () => {
    const b = open('stk_b', files('b', await stackCertificate(authority, 'stk_b')))!;
    const port = await serve(b);
    const good = await stackCertificate(authority, 'stk_a');
    const first = connect({ port, host: '127.0.0.1', ca: authority.cert, ...good });
    let session: Buffer | undefined;
    first.on('session', (given: Buffer) => void (session = given));
    await once(first, 'secureConnect');
    first.write('GET / HTTP/1.1\r\nHost: b\r\n\r\n');
    await once(first, 'data');
    first.destroy();
    expect(await handshake(port, { ...good, ...(session === undefined ? {} : { session }) })).toBe('TLSv1.3 new');
  });
});

describe('a call to a node', () => {
  const ask = async (trust: PeerTrust, stackId: string, port: number): Promise<string> => {
    const { dispatcher } = trust.connection(stackId);
    const { body } = await dispatcher.request({ origin: `https://127.0.0.1:${port}`, path: '/', method: 'GET' });
    return body.text();
  };
  const failure = (asked: Promise<string>): Promise<string> => asked.then(() => 'it was answered', (error: Error) => error.message);

  it('reaches the node that is meant, and none that merely has its address', verifies(['PRS-7.4-01'], async () => {
    const a = open('stk_a', files('a', await stackCertificate(authority, 'stk_a')))!;
    const port = await serve(open('stk_b', files('b', await stackCertificate(authority, 'stk_b')))!);
    expect(await ask(a, 'stk_b', port)).toMatch(/^[\w-]{43}$/);
    expect(await failure(ask(a, 'stk_c', port))).toBe('The certificate of 127.0.0.1 is that of stk_b, and stk_c was called.');
    const elsewhere = await serve(open('stk_b', files('b2', await stackCertificate(authority, 'stk_b', { names: ['b.test'] })))!);
    expect(await failure(ask(a, 'stk_b', elsewhere))).toMatch(/127\.0\.0\.1 is not in the cert's list/);
    const foreign = await serve(open('stk_b', files('b3', await stackCertificate(another, 'stk_b'), another.cert + authority.cert))!);
    expect(await failure(ask(a, 'stk_b', foreign))).toMatch(/unable to (verify|get)|self.signed/i);
  }));

  it('is held to the authority that the peer is bound to, where several are known', async () => {
    const bundle = authority.cert + another.cert;
    const of = (ca: CertificateAndKey) => () => new X509Certificate(ca.cert).fingerprint256;
    const port = await serve(open('stk_b', files('b', await stackCertificate(another, 'stk_b'), bundle))!);
    const own = await stackCertificate(authority, 'stk_a');
    expect(await ask(open('stk_a', files('a', own, bundle), of(another))!, 'stk_b', port)).toMatch(/^[\w-]{43}$/);
    expect(await failure(ask(open('stk_a', files('a', own, bundle), of(authority))!, 'stk_b', port))).toMatch(/not of the authority/);
  });

  it('knows whether its own certificate is what the other side does not take', async () => {
    const b = await serve(open('stk_b', files('b', await stackCertificate(authority, 'stk_b')))!);
    const known = open('stk_a', files('a', await stackCertificate(authority, 'stk_a')))!;
    const unknown = open('stk_a', files('a2', await stackCertificate(another, 'stk_a'), authority.cert))!;
    expect(await known.connection('stk_b').accepts(`https://127.0.0.1:${b}`)).toBe(true);
    const { accepts } = unknown.connection('stk_b');
    expect(await Promise.all([accepts(`https://127.0.0.1:${b}`), accepts(`https://127.0.0.1:${b}`)])).toEqual([false, false]);
    const gone = createServer();
    gone.listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const { port } = gone.address() as AddressInfo;
    await new Promise((resolve) => gone.close(resolve));
    expect(await known.connection('stk_b').accepts(`https://127.0.0.1:${port}`), 'nobody is there').toBeNull();
    expect(await known.connection('stk_c').accepts(`https://127.0.0.1:${b}`), 'it is this side that refuses').toBeNull();
  });

  it('shares few connections with many others, and waits for no stream', async () => {
    const trust = open('stk_b', files('b', await stackCertificate(authority, 'stk_b')))!;
    const held: ServerResponse[] = [];
    let [connections, most] = [0, 0];
    const server = createServer(trust.server.current(), (request, response) => void (request.url === '/stream' ? held.push(response.writeHead(200)) && response.flushHeaders() : setTimeout(() => response.end('ok'), 5)));
    server.on('secureConnection', (socket: TLSSocket) => {
      most = Math.max(most, (connections += 1));
      socket.on('close', () => (connections -= 1));
    });
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { dispatcher, streams } = open('stk_a', files('a', await stackCertificate(authority, 'stk_a')))!.connection('stk_b');
    const burst = await Promise.all(Array.from({ length: MOST_CONNECTIONS * 8 }, async () => (await dispatcher.request({ origin: `https://127.0.0.1:${port}`, path: '/', method: 'POST' })).body.text()));
    expect(new Set(burst)).toEqual(new Set(['ok']));
    expect(most).toBeLessThanOrEqual(MOST_CONNECTIONS);
    const opened = await Promise.all(Array.from({ length: MOST_CONNECTIONS + 8 }, () => streams.request({ origin: `https://127.0.0.1:${port}`, path: '/stream', method: 'GET' })));
    expect(held).toHaveLength(MOST_CONNECTIONS + 8);
    expect(await (await dispatcher.request({ origin: `https://127.0.0.1:${port}`, path: '/', method: 'GET' })).body.text(), 'while all of them are open').toBe('ok');
    for (const { body } of opened) body.destroy();
    for (const { body } of opened) await once(body, 'close').catch(() => undefined);
  }, 180_000);

  it('takes a renewed certificate at the next request, for the connection and the assertion alike', verifies(['PRS-7.4-01'], async () => {
    const first = await stackCertificate(authority, 'stk_a');
    const a = open('stk_a', files('a', first))!;
    const port = await serve(open('stk_b', files('b', await stackCertificate(authority, 'stk_b')))!);
    const thumbprints = async (): Promise<readonly [string, unknown]> => {
      const { assertions } = a.connection('stk_b');
      const token = await assertions.issue({ audience: 'stk_b', auth: { tenant_id: 'tnt_a', principal: { principal_id: 'u', principal_type: 'user' }, scopes: [] }, method: 'GET', url: `https://127.0.0.1:${port}/`, body: null });
      return [await ask(a, 'stk_b', port), decodeProtectedHeader(token)['x5t#S256']];
    };
    const before = await thumbprints();
    expect(before).toEqual([thumbprintOf(new X509Certificate(first.cert)), before[0]]);
    const kept = a.connection('stk_b');
    expect(a.connection('stk_b')).toBe(kept);
    // A certificate of another node in its place is told of and not used.
    files('a', await stackCertificate(authority, 'stk_z'));
    await expect.poll(() => lines.join('')).toMatch(/that of stk_z, and this node is stk_a/);
    expect(a.connection('stk_b')).toBe(kept);
    const second = await stackCertificate(authority, 'stk_a');
    files('a', second);
    await expect.poll(() => a.connection('stk_b') === kept).toBe(false);
    const after = await thumbprints();
    expect(after).toEqual([thumbprintOf(new X509Certificate(second.cert)), after[0]]);
    expect(lines.join('')).not.toContain('PRIVATE KEY');
  }));

  it('ends with the trust that it was opened under: streams to an authority that is taken back are cut, others are not', verifies(['PRS-7.4-01'], async () => {
    const certificate = await stackCertificate(authority, 'stk_a');
    let bound: string | null = null;
    const a = open('stk_a', files('a', certificate), () => bound)!;
    const b = open('stk_b', files('b', await stackCertificate(authority, 'stk_b')))!;
    const server = createServer(b.server.current(), (_request, response) => void response.write('it begins'));
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const stream = async (): Promise<{ readonly ended: () => boolean }> => {
      const { body } = await a.connection('stk_b').streams.request({ origin: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, path: '/', method: 'GET' });
      let ended = false;
      body.on('close', () => void (ended = true)).on('error', () => undefined).resume();
      return { ended: () => ended };
    };
    const first = await stream();
    const before = a.connection('stk_b');
    files('a', certificate, `${authority.cert}\n${another.cert}`);
    await expect.poll(() => a.connection('stk_b') === before).toBe(false);
    expect(first.ended(), 'one more authority cuts off nobody').toBe(false);
    // The peers file now binds the node to another authority than the one its connections were made to.
    bound = new X509Certificate(another.cert).fingerprint256;
    await expect(stream()).rejects.toMatchObject({ code: 'ERR_PEER_CERTIFICATE' });
    bound = null;
    const second = await stream();
    bound = new X509Certificate(another.cert).fingerprint256;
    a.connection('stk_b');
    await expect.poll(second.ended, { timeout: 5_000 }).toBe(true);
    bound = null;
    const third = await stream();
    files('a', certificate, another.cert);
    await expect.poll(() => [first.ended(), third.ended()], { timeout: 5_000 }).toEqual([true, true]);
  }));
});

describe('the settings', () => {
  const refused = (stackId: string, env: Readonly<Record<string, string>>): string => {
    try {
      open(stackId, env);
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as ConfigError).exitCode).toBe(3);
      return (error as Error).message;
    }
    return 'it was opened';
  };

  it('may be absent, unless certificates are demanded', verifies(['PRS-7.4-01'], async () => {
    expect(open('stk_a', {})).toBeNull();
    expect(refused('stk_a', { AGENTOS_FED_REQUIRE_MTLS: 'true' })).toMatch(/AGENTOS_FED_SERVER_CERT and AGENTOS_FED_SERVER_KEY and AGENTOS_FED_CA_CERT are not set/);
    const whole = files('a', await stackCertificate(authority, 'stk_a'));
    for (const missing of NEEDED_FOR_PEERS) {
      const rest = Object.fromEntries(Object.entries(whole).filter(([name]) => name !== missing));
      expect(refused('stk_a', { ...rest, AGENTOS_FED_REQUIRE_MTLS: 'true' })).toContain(`${missing} is not set`);
      expect(refused('stk_a', rest), 'half of it is a mistake in every mode').toContain(`${missing} is not set`);
    }
    expect(open('stk_a', { ...whole, AGENTOS_FED_REQUIRE_MTLS: 'true' })).not.toBeNull();
  }));

  it('may be spelled with _FILE, and name another certificate to present', async () => {
    const client = await stackCertificate(authority, 'stk_a');
    const spelled = Object.fromEntries(Object.entries(files('a', await stackCertificate(authority, 'stk_a'))).map(([name, path]) => [`${name}_FILE`, path]));
    const trust = open('stk_a', { ...spelled, AGENTOS_FED_CLIENT_CERT: file('client.crt', client.cert), AGENTOS_FED_CLIENT_KEY: file('client.key', client.key) })!;
    expect(trust.clientTls('stk_b')).toMatchObject({ cert: client.cert, minVersion: 'TLSv1.3' });
    expect(refused('stk_a', { ...spelled, AGENTOS_FED_CLIENT_CERT: file('client.crt', client.cert) })).toMatch(/AGENTOS_FED_CLIENT_KEY is not set/);
  });

  it('are refused where no peer would believe them', async () => {
    const good = await stackCertificate(authority, 'stk_a');
    expect(refused('stk_b', files('a', good))).toMatch(/that of stk_a, and this node is stk_b\. It needs .+ URI:urn:agentos:stack:stk_b/);
    expect(refused('stk_a', files('a', await issueCertificate(authority, { stackId: null, names: ['a.test'] })))).toMatch(/names no stack/);
    expect(refused('stk_a', files('a', { cert: good.cert, key: another.key }))).toMatch(/a\.crt does not belong to the key/);
    expect(refused('stk_a', files('a', good, 'no certificate'))).toMatch(/AGENTOS_FED_CA_CERT names .+ holds no certificate/);
    expect(refused('stk_a', { ...files('a', good), AGENTOS_FED_CA_CERT: '/nowhere' })).toMatch(/AGENTOS_FED_CA_CERT names \/nowhere, which cannot be read/);
  });

  it('that will not last are told of', async () => {
    open('stk_a', files('a', await stackCertificate(authority, 'stk_a', { days: 3 })));
    expect(lines.join('')).toMatch(/expires soon/);
    open('stk_a', files('a', await stackCertificate(authority, 'stk_a', { days: -1 })));
    expect(lines.join('')).toMatch(/has expired/);
  });
});
