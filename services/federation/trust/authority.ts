/**
 * Which authority has issued a certificate. The authorities of several owners stand in one bundle, and each of them could
 * issue a certificate with the name of another owner's node; a peer may therefore be bound to one of them
 * (`trust.authority` in the peers file).
 */
import { X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls';

const MOST_STEPS = 8;

/** Every certificate of a PEM bundle. */
export function certificatesOf(pem: string): readonly X509Certificate[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map((each) => new X509Certificate(each));
}

/** What the other side has sent beside its own certificate, as node:tls hands it over. */
export function sentWith(peer: PeerCertificate | DetailedPeerCertificate): readonly X509Certificate[] {
  const found: X509Certificate[] = [];
  let current = (peer as DetailedPeerCertificate).issuerCertificate as DetailedPeerCertificate | undefined;
  for (; current?.raw !== undefined && found.length < MOST_STEPS; current = current.issuerCertificate) {
    found.push(new X509Certificate(current.raw));
    if (current.issuerCertificate === current) break;
  }
  return found;
}

/**
 * True when signatures lead from the certificate to the one with this fingerprint. Names are not enough: an authority may
 * call itself as another one does.
 *
 * @param fingerprint SHA-256, upper-case hex with colons, as `fingerprint256` has it
 * @param others the authorities of this node, and what was sent with the certificate
 */
export function leadsTo(fingerprint: string, certificate: X509Certificate, others: readonly X509Certificate[]): boolean {
  let current = certificate;
  for (let step = 0; step < MOST_STEPS; step += 1) {
    const issuers = others.filter((each) => each.ca && isSignedBy(current, each));
    if (issuers.some((each) => each.fingerprint256 === fingerprint)) return true;
    const next = issuers.find((each) => each.fingerprint256 !== current.fingerprint256);
    if (next === undefined) return false;
    current = next;
  }
  return false;
}

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    return false;
  }
}
