/**
 * Certificates of a federation: an authority, and what it issues to a node. The node's certificate names its stack id as
 * the URI `urn:agentos:stack:<stack_id>`, which is what peers believe; host names and addresses beside it are what TLS
 * clients compare. The same certificate serves and calls, hence both extended key usages.
 *
 * Loading the library costs 0.2 s, so whoever needs this file imports it when it does.
 */
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import { stackUri } from '../../../services/federation/trust/stack-uri.ts';

/** Both PEM. The key is PKCS #8. */
export interface CertificateAndKey {
  readonly cert: string;
  readonly key: string;
}

export interface NodeCertificateRequest {
  /** null: a certificate for TLS alone, which names no stack. */
  readonly stackId: string | null;
  /** Host names and IP addresses that the node is reached by; at least one. */
  readonly names: readonly string[];
  /** Days from now; 90 when absent. Negative: it has expired already, which tests need. */
  readonly days?: number;
}

const NODE_DAYS = 90;
/** Ten years. */
const AUTHORITY_DAYS = 3_652;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** Clocks of two machines differ a little: a certificate that was made now is valid there, too. */
const BACKDATED_MS = 5 * 60_000;
const DAY_MS = 86_400_000;

const provider = webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0];

/** Self-signed, for ten years; it may issue to nodes and not to other authorities. */
export async function createAuthority(name: string): Promise<CertificateAndKey> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: [{ CN: [name] }],
    notBefore: new Date(Date.now() - BACKDATED_MS),
    notAfter: new Date(Date.now() + AUTHORITY_DAYS * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, provider),
    ],
  }, provider);
  return { cert: pemOf(certificate), key: await keyPem(keys) };
}

/** A new key with a certificate for it. @throws Error when the authority's key does not fit its certificate. */
export async function issueCertificate(authority: CertificateAndKey, request: NodeCertificateRequest): Promise<CertificateAndKey> {
  const issuer = new x509.X509Certificate(authority.cert);
  const signingKey = await importKey(authority.key);
  const keys = await newKeys();
  const now = Date.now();
  const days = request.days ?? NODE_DAYS;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: [{ CN: [(request.stackId ?? request.names[0]!).slice(0, 64)] }],
    issuer: issuer.subject,
    notBefore: new Date(Math.min(now, now + days * DAY_MS) - (days < 0 ? DAY_MS : BACKDATED_MS)),
    // No longer than its authority, which would only fail later.
    notAfter: new Date(Math.min(now + days * DAY_MS, issuer.notAfter.getTime())),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension(alternativeNames(request)),
      await x509.AuthorityKeyIdentifierExtension.create(issuer, false, provider),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, provider),
    ],
  }, provider);
  if (!(await certificate.verify({ publicKey: issuer, signatureOnly: true }, provider))) throw new Error("the authority's key does not belong to its certificate");
  return { cert: pemOf(certificate), key: await keyPem(keys) };
}

function alternativeNames({ stackId, names }: NodeCertificateRequest): x509.JsonGeneralName[] {
  return [
    ...(stackId === null ? [] : [{ type: 'url' as const, value: stackUri(stackId) }]),
    ...names.map((name) => ({ type: isIP(name) === 0 ? ('dns' as const) : ('ip' as const), value: name })),
  ];
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

/** RFC 5280: positive, at most 20 bytes, from a random source. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  try {
    return await webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(pem), ALGORITHM, false, ['sign']);
  } catch (cause) {
    throw new Error('the key of the authority cannot be read: it must be an EC P-256 key (PKCS #8, PEM)', { cause });
  }
}

const pemOf = (certificate: x509.X509Certificate): string => `${certificate.toString('pem').trim()}\n`;

async function keyPem(keys: webcrypto.CryptoKeyPair): Promise<string> {
  return `${x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY').trim()}\n`;
}
