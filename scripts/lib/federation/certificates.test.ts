/** Certificates as TLS and node:crypto, which know nothing of how they were made, see them. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { beforeAll, describe, expect, it } from 'vitest';
import { certificateFacts, certificatesIn, isIssuedBy } from './certificate-facts.ts';
import { createAuthority, issueCertificate, type CertificateAndKey } from './certificates.ts';

const DAY_MS = 86_400_000;
const NAMES = ['node.example', '127.0.0.1', '::1'];
let authority: CertificateAndKey;
let other: CertificateAndKey;
let node: CertificateAndKey;
beforeAll(async () => {
  [authority, other] = await Promise.all([createAuthority('Acme'), createAuthority('Acme')]);
  node = await issueCertificate(authority, { stackId: 'stk_acme', names: NAMES });
});

/** What the server sees of a client; rejects where either end refuses. */
async function handshake(server: CertificateAndKey, client: CertificateAndKey | null, trusted: { readonly server: string; readonly client: string }): Promise<string> {
  const listener = createServer({ ...server, ca: trusted.server, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const seen = once(listener, 'secureConnection') as Promise<[TLSSocket]>;
  const socket = connect({ port: (listener.address() as AddressInfo).port, host: '127.0.0.1', ca: trusted.client, ...client });
  try {
    const refused = Promise.race([once(socket, 'error'), once(listener, 'tlsClientError')]).then(([error]) => { throw error as Error; });
    const [peer] = await Promise.race([seen, refused]);
    return peer.getPeerX509Certificate()?.subjectAltName ?? '';
  } finally {
    socket.destroy();
    listener.close();
  }
}

describe('certificates of a federation', () => {
  it('name the stack, the hosts and both uses, for ninety days, by an authority of ten years', () => {
    expect(certificateFacts(node.cert)).toMatchObject({ stackId: 'stk_acme', isAuthority: false, subject: 'CN=stk_acme', issuer: 'CN=Acme' });
    const certificate = new X509Certificate(node.cert);
    expect(certificate.subjectAltName).toBe('URI:urn:agentos:stack:stk_acme, DNS:node.example, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1');
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    expect(certificate.checkPrivateKey(createPrivateKey(node.key))).toBe(true);
    expect(certificate.publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: 'prime256v1' });
    const daysLeft = (pem: string): number => Math.round((certificateFacts(pem).notAfter.getTime() - Date.now()) / DAY_MS);
    expect([daysLeft(node.cert), daysLeft(authority.cert)]).toEqual([90, 3652]);
    expect(certificateFacts(authority.cert)).toMatchObject({ stackId: null, isAuthority: true });
  });

  it('hold in a mutual handshake, and only by the authority that is trusted', async () => {
    const client = await issueCertificate(authority, { stackId: 'stk_b', names: ['127.0.0.1'] });
    const trusted = { server: authority.cert, client: authority.cert };
    expect(await handshake(node, client, trusted)).toContain('urn:agentos:stack:stk_b');
    await expect(handshake(node, null, trusted)).rejects.toThrow();
    const stranger = await issueCertificate(other, { stackId: 'stk_b', names: ['127.0.0.1'] });
    await expect(handshake(node, stranger, trusted)).rejects.toThrow();
    const expired = await issueCertificate(authority, { stackId: 'stk_b', names: ['127.0.0.1'], days: -1 });
    await expect(handshake(node, expired, trusted)).rejects.toThrow();
    // An authority issues to nodes alone: what a node signs is nobody's.
    const sub = await issueCertificate(node, { stackId: 'stk_b', names: ['127.0.0.1'] });
    await expect(handshake(node, { cert: sub.cert + node.cert, key: sub.key }, trusted)).rejects.toThrow();
  });

  it('know their authority, and are refused by a key that is not its own', async () => {
    expect([isIssuedBy(node.cert, authority.cert), isIssuedBy(node.cert, other.cert)]).toEqual([true, false]);
    await expect(issueCertificate({ cert: authority.cert, key: other.key }, { stackId: 'stk_b', names: ['b'] })).rejects.toThrow(/does not belong/);
    await expect(issueCertificate({ cert: authority.cert, key: 'nothing' }, { stackId: 'stk_b', names: ['b'] })).rejects.toThrow(/cannot be read/);
    expect(certificatesIn(`${authority.cert}text between\n${other.cert}`)).toEqual([authority.cert, other.cert]);
  });
});
