/**
 * Makes a node able to meet peers, and keeps it so: its own authority, its certificate, its peers file. Repeating it
 * changes nothing that is right already. Certificates of an operator's own take the place of those made here.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { isIP } from 'node:net';
import { CliError, EXIT } from '../errors.ts';
import { certificateFacts, certificatesIn, isIssuedBy, type CertificateFacts } from './certificate-facts.ts';
import { federationFiles, writePrivate } from './files.ts';
import { readPeersDocument, readTrusted, writePeersDocument, writeTrusted, type PeerEntry, type PeerIdentity } from './peers-document.ts';
import { CARD_KIND, type PeerCard } from './peer-card.ts';

/** Files of an operator's own, PEM. */
export interface BroughtCertificates {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
}

export interface SetUp {
  readonly identity: PeerIdentity;
  /** Names and addresses beside the host of the federation URL. */
  readonly names?: readonly string[];
  readonly brought?: BroughtCertificates | null;
}

/** A certificate that has less than this left is renewed by `agentos up`. */
const RENEW_BEFORE_DAYS = 30;
const DAY_MS = 86_400_000;

export const daysLeft = (facts: CertificateFacts): number => Math.floor((facts.notAfter.getTime() - Date.now()) / DAY_MS);

/** Answers what was done, for people. */
export async function setUpFederation(home: string, setUp: SetUp): Promise<string> {
  const { identity } = setUp;
  const done = setUp.brought == null ? await ensureOwn(home, identity.stack_id, namesOf(setUp)) : bring(home, identity.stack_id, setUp.brought);
  const document = readPeersDocument(home);
  writePeersDocument(home, { local: identity, peers: document?.peers ?? [] });
  writeTrusted(home, [...ownAuthority(home), ...readTrusted(home)]);
  return done;
}

function namesOf({ identity, names = [] }: SetUp): readonly string[] {
  const host = new URL(identity.endpoints.federation_base_url).hostname.replace(/^\[|\]$/g, '');
  return [...new Set([host, ...names, ...(host === '127.0.0.1' || host === '::1' ? ['localhost'] : [])])];
}

async function ensureOwn(home: string, stackId: string, names: readonly string[]): Promise<string> {
  const files = federationFiles(home);
  if (existsSync(files.certificate) && !existsSync(files.authorityKey)) return checkBrought(home, stackId);
  const hasAuthority = existsSync(files.authorityKey) && existsSync(files.authority);
  if (!hasAuthority) {
    const { createAuthority } = await import('./certificates.ts');
    const authority = await createAuthority(`AgentOS authority of ${stackId}`);
    writePrivate(files.authorityKey, authority.key);
    writePrivate(files.authority, authority.cert);
  }
  const current = existsSync(files.certificate) ? certificateFacts(readFileSync(files.certificate, 'utf8')) : null;
  const missing = current === null || current.stackId !== stackId || names.some((name) => !sameName(current.names, name));
  const old = current !== null && daysLeft(current) < RENEW_BEFORE_DAYS;
  if (!missing && !old && isIssuedBy(readFileSync(files.certificate, 'utf8'), readFileSync(files.authority, 'utf8'))) return `certificate of ${stackId}, ${daysLeft(current)} days left`;
  await issueOwn(home, stackId, names);
  return `${hasAuthority ? 'certificate' : 'authority and certificate'} of ${stackId} ${current === null ? 'made' : 'renewed'}`;
}

/** `::1` and its long form are one address. */
function sameName(names: readonly string[], wanted: string): boolean {
  const canonical = (name: string): string => (isIP(name) === 6 ? new URL(`http://[${name}]`).hostname : name);
  return names.some((name) => canonical(name) === canonical(wanted));
}

/** A new key and certificate by the node's own authority, for the same names unless others are given. */
export async function issueOwn(home: string, stackId: string, names: readonly string[]): Promise<void> {
  const files = federationFiles(home);
  const { issueCertificate } = await import('./certificates.ts');
  const authority = { cert: readFileSync(files.authority, 'utf8'), key: readFileSync(files.authorityKey, 'utf8') };
  const made = await issueCertificate(authority, { stackId, names });
  // Whoever reads them between the two finds a pair that does not fit, keeps the one before, and looks again.
  writePrivate(files.key, made.key);
  writePrivate(files.certificate, made.cert);
}

function checkBrought(home: string, stackId: string): string {
  const facts = certificateFacts(readFileSync(federationFiles(home).certificate, 'utf8'));
  if (facts.stackId !== stackId) throw new CliError(`the certificate of this node names ${facts.stackId ?? 'no stack'}, not ${stackId}`, { exitCode: EXIT.configuration, next: 'agentos federation certs --cert <file> --key <file> --ca <file>' });
  return `certificate of ${stackId}, brought, ${daysLeft(facts)} days left`;
}

/** @throws CliError usage that says what the certificate lacks; then nothing is written. */
function bring(home: string, stackId: string, brought: BroughtCertificates): string {
  const [certificate, key, authority] = [brought.certificate, brought.key, brought.authority].map((file) => read(file)) as [string, string, string];
  const refuse = (reason: string): CliError => new CliError('these certificates cannot be used for a federation', { exitCode: EXIT.usage, evidence: [reason], next: `ask your authority for a certificate with the URI urn:agentos:stack:${stackId}, the node's host name, and both server and client authentication` });
  let facts: CertificateFacts;
  try {
    facts = certificateFacts(certificate);
    if (!new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))) throw refuse(`${brought.key} is not the key of ${brought.certificate}`);
    if (!certificatesIn(authority).some((pem) => certificateFacts(pem).isAuthority)) throw refuse(`${brought.authority} holds no authority`);
  } catch (cause) {
    throw cause instanceof CliError ? cause : refuse(`${brought.certificate}, ${brought.key} or ${brought.authority} cannot be read as PEM: ${(cause as Error).message}`);
  }
  if (facts.stackId !== stackId) throw refuse(`${brought.certificate} names ${facts.stackId === null ? 'no stack' : `the stack ${facts.stackId}`}; this node is ${stackId}`);
  if (facts.notAfter.getTime() < Date.now()) throw refuse(`${brought.certificate} expired on ${facts.notAfter.toISOString()}`);
  const issuers = [...certificatesIn(certificate).slice(1), ...certificatesIn(authority)];
  if (!issuers.some((pem) => isIssuedBy(certificate, pem))) throw refuse(`${brought.certificate} is not signed by ${brought.authority}`);
  const files = federationFiles(home);
  writePrivate(files.key, key);
  writePrivate(files.certificate, certificate);
  writePrivate(files.authority, certificatesIn(authority)[0]!);
  rmSync(files.authorityKey, { force: true });
  return `certificate of ${stackId} taken, ${daysLeft(facts)} days left`;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new CliError(`${file} cannot be read`, { exitCode: EXIT.usage, evidence: [(cause as Error).message], cause });
  }
}

/** The certificate of the authority that this node's own certificate is from. */
export function ownAuthority(home: string): readonly string[] {
  const { authority } = federationFiles(home);
  return existsSync(authority) ? certificatesIn(readFileSync(authority, 'utf8')) : [];
}

/** What this node gives to others. @throws CliError configuration where it is not set up. */
export function cardOf(home: string): PeerCard {
  const document = readPeersDocument(home);
  const [authority] = ownAuthority(home);
  if (document === null || authority === undefined) throw notSetUp();
  return { kind: CARD_KIND, peer: document.local, authority };
}

export const notSetUp = (): CliError => new CliError('this node is in no federation yet', { exitCode: EXIT.configuration, next: 'agentos federation init --stack-id <a name of its own> --url https://<its host name>:50084' });

/** Takes a peer in, or changes what is known of it. Its authority is pinned: no other one can speak for this stack. */
export function addPeer(home: string, card: PeerCard, rights: Pick<PeerEntry['trust'], 'tenants' | 'scopes'>): PeerEntry {
  const document = readPeersDocument(home);
  if (document === null) throw notSetUp();
  if (card.peer.stack_id === document.local.stack_id) throw new CliError(`${card.peer.stack_id} is this node itself`, { exitCode: EXIT.usage, evidence: ['every node of a federation has a stack id of its own'], next: 'agentos federation init --stack-id <another one>' });
  const entry: PeerEntry = { ...card.peer, trust: { ...rights, authority: certificateFacts(card.authority).fingerprint } };
  writeTrusted(home, [...readTrusted(home), card.authority]);
  writePeersDocument(home, { ...document, peers: [...document.peers.filter((peer) => peer.stack_id !== entry.stack_id), entry] });
  return entry;
}

/** Forgets a peer, and its authority unless another peer has the same one. False when there is no such peer. */
export function removePeer(home: string, stackId: string): boolean {
  const document = readPeersDocument(home);
  if (document === null) throw notSetUp();
  const rest = document.peers.filter((peer) => peer.stack_id !== stackId);
  if (rest.length === document.peers.length) return false;
  writePeersDocument(home, { ...document, peers: rest });
  const kept = new Set(rest.map((peer) => peer.trust.authority));
  const own = ownAuthority(home);
  writeTrusted(home, [...own, ...readTrusted(home).filter((pem) => kept.has(certificateFacts(pem).fingerprint))]);
  return true;
}
