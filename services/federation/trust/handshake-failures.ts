/**
 * Why two nodes do not get to speak with each other, as well as one of them can know it. That its own side refuses is
 * plain. That the other side does is not: in TLS 1.3 a server judges the client's certificate after the client's
 * handshake has ended, and Node's servers then close the connection without a word, which is what a process that dies
 * looks like, too. A connection of its own, with a question that any node answers, tells the two apart.
 */
import { AgentOsError } from '../../platform/errors.ts';

/** The node's certificate was looked at here, and is not good enough. */
export const REFUSED_HERE = 'ERR_PEER_CERTIFICATE';

/** What OpenSSL says of a certificate, as Node spells it. */
const CERTIFICATE_CODES: ReadonlySet<string> = new Set([
  REFUSED_HERE, 'ERR_TLS_CERT_ALTNAME_INVALID', 'ERR_TLS_CERT_ALTNAME_FORMAT', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CERT_SIGNATURE_FAILURE', 'CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED', 'ERROR_IN_CERT_NOT_BEFORE_FIELD', 'ERROR_IN_CERT_NOT_AFTER_FIELD', 'CERT_CHAIN_TOO_LONG', 'CERT_REVOKED',
  'INVALID_CA', 'PATH_LENGTH_EXCEEDED', 'INVALID_PURPOSE', 'CERT_UNTRUSTED', 'CERT_REJECTED', 'HOSTNAME_MISMATCH',
]);

/** The other side ended the connection and has not sent one byte on it, so what was asked may never have been read. */
export function isClosedWithoutAWord(error: unknown): boolean {
  const { code, socket } = error as { readonly code?: string; readonly socket?: { readonly bytesRead?: number } | null };
  return code === 'UND_ERR_SOCKET' && socket?.bytesRead === 0;
}

/** null: it was no matter of certificates, as far as can be told. Trying again mends neither. @param accepted whether a connection of its own was answered; null: not known */
export function handshakeFailure(stackId: string, error: unknown, accepted: boolean | null): AgentOsError | null {
  // A request that was given up is a DOMException, whose code is a number.
  const { code: given } = error as { readonly code?: unknown };
  const code = typeof given === 'string' ? given : '';
  if (CERTIFICATE_CODES.has(code)) {
    return between(stackId, error, 'peer_certificate_refused', `The certificate of ${stackId} is not accepted here (${code}): ${(error as Error).message.replace(/\.$/, '')}. Compare endpoints.federation_base_url and trust.authority of that peer in AGENTOS_PEERS_FILE, and the authorities in AGENTOS_FED_CA_CERT, with what its operator says; \`agentos federation peers\` shows every peer.`);
  }
  if (code.startsWith('ERR_SSL_')) {
    return between(stackId, error, 'peer_handshake_failed', `${stackId} ended the handshake (${code}). Its address has to be that of a listener for other nodes, which takes TLS 1.3 alone, and its AGENTOS_FED_CA_CERT has to hold the authority of this node's certificate; \`agentos federation peers\` here and its log there say more.`);
  }
  if (!isClosedWithoutAWord(error) || accepted !== false) return null;
  return between(stackId, error, 'peer_handshake_failed', `${stackId} closes connections of this node right after the handshake, so it does not accept this node's certificate. Is that valid still (\`agentos federation certs\`), and has the operator of ${stackId} the authority of this node in AGENTOS_FED_CA_CERT (\`agentos federation add-peer\` there, with the card of this node)?`);
}

const between = (stackId: string, cause: unknown, reason: string, message: string): AgentOsError =>
  new AgentOsError('dependency_unavailable', { message, retryable: false, details: { reason, peer: stackId }, cause });
