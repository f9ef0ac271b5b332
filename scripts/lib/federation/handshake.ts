/** What a TLS handshake with a peers' listener tells: whether it is there, who it is, and whether it lets us in. */
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect, type TLSSocket } from 'node:tls';
import { certificateFacts, type CertificateFacts } from './certificate-facts.ts';
import { federationFiles } from './files.ts';

export type Handshake =
  | { readonly outcome: 'met'; readonly peer: CertificateFacts }
  /** `refused`: one of the two ends did not take the other's certificate · `away`: nobody answers there. */
  | { readonly outcome: 'refused' | 'away'; readonly reason: string };

/** @param home of the node that calls; null calls without a certificate, as a stranger would. Never throws. */
export async function shakeHands(home: string | null, trustedBy: string, url: string, timeoutMs = 3_000): Promise<Handshake> {
  const { hostname, port } = new URL(url);
  const files = federationFiles(home ?? trustedBy);
  const { trusted } = federationFiles(trustedBy);
  if (!existsSync(trusted) || !existsSync(files.key)) return { outcome: 'refused', reason: 'this node has no certificates' };
  const own = home === null ? {} : { cert: readFileSync(files.certificate), key: readFileSync(files.key) };
  const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 443), ca: readFileSync(trusted), minVersion: 'TLSv1.3', timeout: timeoutMs, ...own });
  try {
    const ended = endOf(socket);
    await Promise.race([once(socket, 'secureConnect'), ended]);
    const peer = certificateFacts(socket.getPeerX509Certificate()!.toString());
    await Promise.race([answerOf(socket), ended]);
    return { outcome: 'met', peer };
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    return { outcome: ['ECONNREFUSED', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN'].includes(code) ? 'away' : 'refused', reason: reasonOf(code, message) };
  } finally {
    socket.destroy();
  }
}

/** Rejects when nothing comes, or when the other end leaves: a node that does not know a certificate may do so without a word. */
function endOf(socket: TLSSocket): Promise<never> {
  const ended = new Promise<never>((_resolve, reject) => {
    socket.once('timeout', () => reject(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' })));
    socket.once('close', () => reject(new Error('it ends the connection: it does not take the certificate of this node')));
  });
  // Whoever has met the other end waits for this no longer.
  ended.catch(() => undefined);
  return ended;
}

/** In TLS 1.3 the server judges the client's certificate after the client's handshake has ended: an answer to a request is the proof. */
async function answerOf(socket: TLSSocket): Promise<void> {
  socket.write('GET /v1/federation/health HTTP/1.1\r\nhost: peer\r\nconnection: close\r\n\r\n');
  await once(socket, 'data');
}

function reasonOf(code: string, message: string): string {
  if (code === 'ECONNREFUSED') return 'nothing listens there';
  if (code === 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED') return 'it asks for a certificate';
  if (code === 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA') return 'it does not know the authority of this node';
  if (['SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'CERT_SIGNATURE_FAILURE'].includes(code)) return 'its certificate is from an authority that this node does not know';
  return code === '' ? message : `${code}: ${message}`;
}
