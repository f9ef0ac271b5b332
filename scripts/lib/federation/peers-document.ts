/** peers.json of a node: read whole, changed and written whole, and never written in a form that Federation would refuse. */
import { existsSync, readFileSync } from 'node:fs';
import { parsePeersFile, PeersFileError } from '../../../services/federation/peers/peers-file.ts';
import { CliError, EXIT } from '../errors.ts';
import { certificateFacts, certificatesIn } from './certificate-facts.ts';
import { federationFiles, writePrivate } from './files.ts';

export interface PeerEndpoints {
  readonly 'agent-orchestrator_base_url': string;
  readonly 'model-policy_base_url': string;
  readonly federation_base_url: string;
}

/** A node as it describes itself to others. */
export interface PeerIdentity {
  readonly stack_id: string;
  readonly environment?: string;
  readonly region?: string;
  readonly api_versions?: readonly string[];
  readonly endpoints: PeerEndpoints;
}

export interface PeerTrust {
  /** Tenants that the peer may speak for here; `*` is all of them. */
  readonly tenants: readonly string[];
  /** What it may ask for them at most; absent: whatever the tenant's principals may. */
  readonly scopes?: readonly string[];
  /** Fingerprint of the authority that its certificate has to be from. */
  readonly authority?: string;
}

export interface PeerEntry extends PeerIdentity {
  readonly trust: PeerTrust;
}

export interface PeersDocument {
  readonly local: PeerIdentity;
  readonly peers: readonly PeerEntry[];
}

/** null where the node is not set up. @throws CliError configuration where the file is not what it should be. */
export function readPeersDocument(home: string): PeersDocument | null {
  const { peers: file } = federationFiles(home);
  if (!existsSync(file)) return null;
  const text = readFileSync(file, 'utf8');
  refuseUnreadable(file, text);
  const { local, peers = [] } = JSON.parse(text) as { local: PeerIdentity; peers?: readonly PeerEntry[] };
  return { local, peers };
}

/** @throws CliError configuration; then the file stays as it was. */
export function writePeersDocument(home: string, document: PeersDocument): void {
  const { peers: file } = federationFiles(home);
  const text = `${JSON.stringify(document, null, 2)}\n`;
  refuseUnreadable(file, text);
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return;
  writePrivate(file, text);
}

function refuseUnreadable(file: string, text: string): void {
  try {
    parsePeersFile(text);
  } catch (cause) {
    if (!(cause instanceof PeersFileError)) throw cause;
    throw new CliError('the peers file cannot be used', { exitCode: EXIT.configuration, evidence: [`${file}: ${cause.message}`], next: `correct ${file}`, cause });
  }
}

/** Writes the authorities that the node trusts: its own first, each once, in PEM with their names above. */
export function writeTrusted(home: string, authorities: readonly string[]): void {
  const { trusted } = federationFiles(home);
  const seen = new Map(authorities.map((pem) => [certificateFacts(pem).fingerprint, pem]));
  const text = [...seen].map(([fingerprint, pem]) => `# ${certificateFacts(pem).subject}\n# SHA-256 ${fingerprint}\n${pem}`).join('');
  if (existsSync(trusted) && readFileSync(trusted, 'utf8') === text) return;
  writePrivate(trusted, text);
}

export function readTrusted(home: string): readonly string[] {
  const { trusted } = federationFiles(home);
  return existsSync(trusted) ? certificatesIn(readFileSync(trusted, 'utf8')) : [];
}
