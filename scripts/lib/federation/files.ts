/**
 * The folder `federation/` of a node's state folder: its authority, its certificate, the authorities that it trusts and
 * its peers file. Where it is complete, `agentos up` gives it to the services; variables that a person set go before it.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface FederationFiles {
  readonly folder: string;
  /** Certificate and key of this node's own authority; absent where certificates were brought from elsewhere. */
  readonly authority: string;
  readonly authorityKey: string;
  readonly certificate: string;
  readonly key: string;
  /** Every authority that is trusted, one after the other: this node's and those of its peers. */
  readonly trusted: string;
  /** The peers file, as Federation reads it. */
  readonly peers: string;
}

export function federationFiles(home: string): FederationFiles {
  const folder = path.join(home, 'federation');
  const file = (name: string): string => path.join(folder, name);
  return { folder, authority: file('authority.crt'), authorityKey: file('authority.key'), certificate: file('node.crt'), key: file('node.key'), trusted: file('trusted.pem'), peers: file('peers.json') };
}

/** True once the node can meet peers. */
export function isFederated(home: string): boolean {
  const { certificate, key, trusted, peers } = federationFiles(home);
  return [certificate, key, trusted, peers].every((file) => existsSync(file));
}

/** For its owner alone; written beside and moved into place, since services follow these files while they change. */
export function writePrivate(file: string, text: string): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  chmodSync(path.dirname(file), 0o700);
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  chmodSync(`${file}.new`, 0o600);
  renameSync(`${file}.new`, file);
}

/** What the services are told of it; empty where there is nothing. */
export function federationEnvironment(home: string): Readonly<Record<string, string>> {
  if (!isFederated(home)) return {};
  const files = federationFiles(home);
  const { local } = JSON.parse(readFileSync(files.peers, 'utf8')) as { local?: { stack_id?: string; region?: string; environment?: string } };
  const told = { AGENTOS_STACK_ID: local?.stack_id, AGENTOS_REGION: local?.region, AGENTOS_ENVIRONMENT: local?.environment };
  return {
    AGENTOS_FED_SERVER_CERT: files.certificate,
    AGENTOS_FED_SERVER_KEY: files.key,
    AGENTOS_FED_CA_CERT: files.trusted,
    AGENTOS_FED_REQUIRE_MTLS: 'true',
    AGENTOS_PEERS_FILE: files.peers,
    ...Object.fromEntries(Object.entries(told).filter((entry): entry is [string, string] => typeof entry[1] === 'string' && entry[1] !== '')),
  };
}
