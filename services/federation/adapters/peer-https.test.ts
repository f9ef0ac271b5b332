import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createAuthority, stackCertificate, type CertificateAndKey } from '../../../conformance/harness/certificate.ts';
import { startNodeUpstream, type NodeUpstream, type ToldRefusal } from '../../../conformance/ports/node-upstream.ts';
import { peerAt, peerCall } from '../../../conformance/ports/peer-fixtures.ts';
import { loadConfig } from '../../platform/config/load.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { CALLER } from '../federation.fixture.ts';
import { MOST_CONNECTIONS, openPeerTrust, type PeerTrust } from '../trust/open-trust.ts';
import { HttpsPeer } from './peer-https.ts';

const folder = mkdtempSync(join(tmpdir(), 'agentos-peer-https-'));
let authority: CertificateAndKey;
let another: CertificateAndKey;
let node: NodeUpstream;
const opened: PeerTrust[] = [];

beforeAll(async () => {
  [authority, another] = [await createAuthority('of both'), await createAuthority('of nobody here')];
  node = await startNodeUpstream('stk_b', { ...(await stackCertificate(authority, 'stk_b')), ca: authority.cert, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' });
});
afterEach(async () => {
  node.set('answers');
  for (const trust of opened.splice(0)) await trust.close();
});
afterAll(async () => {
  await node.close();
  rmSync(folder, { recursive: true, force: true });
});

async function peerOf(issuer: CertificateAndKey, timeoutMs = 5_000): Promise<HttpsPeer> {
  const { cert, key } = await stackCertificate(issuer, 'stk_a');
  const env = Object.fromEntries(([['SERVER_CERT', cert], ['SERVER_KEY', key], ['CA_CERT', authority.cert]] as const).map(([name, text]) => {
    const path = join(folder, `${opened.length}-${name}`);
    writeFileSync(path, text, { mode: 0o600 });
    return [`AGENTOS_FED_${name}`, path];
  }));
  const trust = openPeerTrust(loadConfig({ env, envFile: null }), { ownStackId: 'stk_a', authorityOf: () => null }, pino({ level: 'silent' }))!;
  opened.push(trust);
  return new HttpsPeer({ connection: trust.connection, timeoutMs });
}
const target = () => peerAt('stk_b', node.url);
const failure = (asked: Promise<unknown>): Promise<AgentOsError> => asked.then(() => expect.fail('it was answered'), (error: unknown) => error as AgentOsError);

describe('a node over https', () => {
  it('that does not answer is given up on in time, also by those who wait for a connection', async () => {
    const peer = await peerOf(authority, 300);
    node.set('hangs');
    const before = node.seen.length;
    const failures = await Promise.all(Array.from({ length: MOST_CONNECTIONS * 3 }, () => failure(peer.getRun(CALLER, target(), 'run_x', peerCall()))));
    for (const error of failures) expect([error.code, error.retryable, error.message]).toEqual(['dependency_unavailable', true, 'stk_b did not answer within 300 ms.']);
    expect(node.seen.length - before, 'the others were never sent').toBeLessThanOrEqual(MOST_CONNECTIONS);
    node.set('answers');
    expect(await failure(peer.getRun(CALLER, target(), 'run_x', peerCall()))).toMatchObject({ code: 'not_found' });
  });

  it('that does not take this node\'s certificate is told of as that, for requests and streams alike', async () => {
    const peer = await peerOf(another);
    for (const asked of [peer.getRun(CALLER, target(), 'run_x', peerCall()), peer.openEvents(CALLER, target(), { runId: 'run_x', afterSequence: 0 }, peerCall())]) {
      expect(await failure(asked)).toMatchObject({ code: 'dependency_unavailable', retryable: false, details: { reason: 'peer_handshake_failed', peer: 'stk_b' } });
    }
  });

  it('that cuts a request, and takes the certificate, may be asked again', async () => {
    const peer = await peerOf(authority);
    node.set('breaks');
    // The first request of a connection: of this alone nobody can say why it was cut.
    expect(await failure(peer.getRun(CALLER, target(), 'run_x', peerCall()))).toMatchObject({ code: 'dependency_unavailable', retryable: true, details: { peer: 'stk_b' } });
  });

  it('whose certificate is another\'s, or of an authority that is not known, is refused', async () => {
    const peer = await peerOf(authority);
    expect(await failure(peer.getRun(CALLER, peerAt('stk_c', node.url), 'run_x', peerCall()))).toMatchObject({ retryable: false, details: { reason: 'peer_certificate_refused', peer: 'stk_c' } });
    const foreign = await startNodeUpstream('stk_b', { ...(await stackCertificate(another, 'stk_b')), minVersion: 'TLSv1.3' });
    const old = await startNodeUpstream('stk_b', { ...(await stackCertificate(authority, 'stk_b')), maxVersion: 'TLSv1.2' });
    try {
      expect(await failure(peer.getRun(CALLER, peerAt('stk_b', foreign.url), 'run_x', peerCall()))).toMatchObject({ retryable: false, details: { reason: 'peer_certificate_refused' } });
      expect(await failure(peer.getRun(CALLER, peerAt('stk_b', old.url), 'run_x', peerCall()))).toMatchObject({ retryable: false, details: { reason: 'peer_handshake_failed' } });
    } finally {
      await foreign.close();
      await old.close();
    }
  });

  it.each<[string, ToldRefusal]>([
    ['the credential of its caller', { status: 400, code: 'unauthorized' }],
    ['the methods of its own paths', { status: 405, code: 'method_not_allowed', details: { allow: ['GET\r\nset-cookie: a=b'] } }],
    ['a status that the code does not have', { status: 404, code: 'rate_limited' }],
    ['a name that every object has', { status: 403, code: 'constructor' }],
    ['a code that is no error', { status: 403, code: 'policy_redacted' }],
  ])('speaks for itself alone: what it says of %s is not told as this node\'s word', async (_what, refusal) => {
    const peer = await peerOf(authority);
    node.set(refusal);
    expect(await failure(peer.getRun(CALLER, target(), 'run_x', peerCall()))).toMatchObject({ code: 'dependency_unavailable', message: `stk_b answered ${refusal.status}.`, details: { peer: 'stk_b', status: refusal.status } });
  });

  it('is not heard at any length', async () => {
    const peer = await peerOf(authority);
    node.set({ status: 403, code: 'forbidden', message: 'x'.repeat(1_000_000), details: { reason: 'y'.repeat(1_000_000), peer: 'stk_other' }, headers: { 'retry-after': '1e300' } });
    const error = await failure(peer.getRun(CALLER, target(), 'run_x', peerCall()));
    expect(error).toMatchObject({ code: 'forbidden', retryAfterSeconds: 86_400 });
    expect(error.message.length).toBeLessThanOrEqual(2_000);
    expect(error.details).toEqual({ peer: 'stk_b' });
    node.set({ status: 403, code: 'forbidden', details: ['tenant_not_federated'] });
    expect((await failure(peer.getRun(CALLER, target(), 'run_x', peerCall()))).details).toEqual({ peer: 'stk_b' });
    node.set({ status: 403, code: 'forbidden', details: { reason: 'tenant_not_federated', peer: 'stk_other' } });
    expect((await failure(peer.getRun(CALLER, target(), 'run_x', peerCall()))).details).toEqual({ reason: 'tenant_not_federated', peer: 'stk_b' });
  });
});
