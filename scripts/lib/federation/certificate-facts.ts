/** What a certificate says, read with node:crypto alone: the command line shows it without loading what makes them. */
import { X509Certificate } from 'node:crypto';
import { stackIdOf } from '../../../services/federation/trust/stack-uri.ts';

export interface CertificateFacts {
  /** null: it names no stack, or more than one, which is nobody's. */
  readonly stackId: string | null;
  /** Host names and addresses. */
  readonly names: readonly string[];
  readonly isAuthority: boolean;
  readonly subject: string;
  readonly issuer: string;
  readonly notAfter: Date;
  /** SHA-256 of the certificate, in hex with colons, as people read it to each other. */
  readonly fingerprint: string;
}

/** Every certificate of a PEM file, in order. @throws Error where one cannot be read. */
export function certificatesIn(pem: string): readonly string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g)?.map((block) => `${block}\n`) ?? [];
}

/** @throws Error when it is no certificate. */
export function certificateFacts(pem: string): CertificateFacts {
  const certificate = new X509Certificate(pem);
  const alternatives = (certificate.subjectAltName ?? '').split(', ');
  return {
    stackId: stackIdOf(certificate),
    names: alternatives.map((name) => /^(?:DNS|IP Address):(.+)$/.exec(name)?.[1]).filter((name) => name !== undefined),
    isAuthority: certificate.ca,
    subject: certificate.subject,
    issuer: certificate.issuer,
    notAfter: new Date(certificate.validTo),
    fingerprint: certificate.fingerprint256,
  };
}

/** True when the authority has signed it. */
export function isIssuedBy(pem: string, authority: string): boolean {
  const [certificate, issuer] = [new X509Certificate(pem), new X509Certificate(authority)];
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
