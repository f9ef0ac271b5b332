/** What the command line says of a peers' listener that takes us, one that does not, one that says nothing, and none. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createServer } from 'node:https';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAuthority, issueCertificate, type CertificateAndKey } from './certificates.ts';
import { federationFiles, writePrivate } from './files.ts';
import { shakeHands } from './handshake.ts';

let home: string;
let authority: CertificateAndKey;
let stranger: CertificateAndKey;
let peer: CertificateAndKey;
const servers: Server[] = [];
beforeAll(async () => {
  home = mkdtempSync(path.join(tmpdir(), 'agentos-handshake-'));
  [authority, stranger] = await Promise.all([createAuthority('A'), createAuthority('Stranger')]);
  const own = await issueCertificate(authority, { stackId: 'stk_own', names: ['127.0.0.1'] });
  peer = await issueCertificate(authority, { stackId: 'stk_peer', names: ['127.0.0.1'] });
  const files = federationFiles(home);
  writePrivate(files.certificate, own.cert);
  writePrivate(files.key, own.key);
  writePrivate(files.trusted, authority.cert);
});
afterAll(() => {
  for (const server of servers) server.close();
  rmSync(home, { recursive: true });
});

async function listening(server: Server): Promise<string> {
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
const listener = (certificate: CertificateAndKey, trusted: string): Promise<string> =>
  listening(createServer({ ...certificate, ca: trusted, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' }, (_request, response) => response.end('ok')));

describe('a handshake', () => {
  it('meets who takes our certificate and has one that we take', async () => {
    expect(await shakeHands(home, home, await listener(peer, authority.cert))).toMatchObject({ outcome: 'met', peer: { stackId: 'stk_peer' } });
  });

  it('is refused by who does not know us, by us, and without a certificate', async () => {
    expect(await shakeHands(home, home, await listener(peer, stranger.cert))).toMatchObject({ outcome: 'refused', reason: expect.stringMatching(/does not (know|take)/) as string });
    expect(await shakeHands(home, home, await listener(await issueCertificate(stranger, { stackId: 'stk_peer', names: ['127.0.0.1'] }), authority.cert))).toMatchObject({ outcome: 'refused', reason: expect.stringContaining('this node does not know') as string });
    expect(await shakeHands(null, home, await listener(peer, authority.cert))).toMatchObject({ outcome: 'refused' });
    expect(await shakeHands(home, home, await listening(createTcpServer((socket) => socket.end())))).toMatchObject({ outcome: 'refused' });
  });

  it('finds nobody where nobody listens, and where nobody answers', async () => {
    const url = await listener(peer, authority.cert);
    await new Promise((resolve) => servers.pop()!.close(resolve));
    expect(await shakeHands(home, home, url)).toEqual({ outcome: 'away', reason: 'nothing listens there' });
    expect(await shakeHands(home, home, await listening(createTcpServer(() => undefined)), 200)).toMatchObject({ outcome: 'away' });
  });
});
