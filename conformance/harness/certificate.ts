/** Certificates for tests of TLS and of federations, made when they are needed by the code that makes them for operators. */
import { createAuthority, issueCertificate, type CertificateAndKey } from '../../scripts/lib/federation/certificates.ts';

export { createAuthority, issueCertificate, type CertificateAndKey } from '../../scripts/lib/federation/certificates.ts';

export interface TestCertificate extends CertificateAndKey {
  /** PEM: whoever trusts it trusts the certificate. */
  readonly authority: string;
}

/** For these host names and addresses of this machine, by an authority of its own. */
export async function makeCertificate(names: readonly string[] = ['localhost', '127.0.0.1']): Promise<TestCertificate> {
  const authority = await createAuthority('An authority of a test');
  return { ...(await issueCertificate(authority, { stackId: null, names })), authority: authority.cert };
}

/** What a node of a federation has: its certificate, which names its stack, by the authority that its peers trust. */
export async function stackCertificate(authority: CertificateAndKey, stackId: string, options: { readonly names?: readonly string[]; readonly days?: number } = {}): Promise<CertificateAndKey> {
  const { names = ['localhost', '127.0.0.1'], ...rest } = options;
  return issueCertificate(authority, { stackId, names, ...rest });
}
