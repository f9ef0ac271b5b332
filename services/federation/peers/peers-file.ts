/**
 * The peers file: `{local?, peers?}`, each an Appendix F.1 object. It is read strictly, since a mistyped member would
 * silently cut a node off, and leniently where older files differ: endpoint keys come in three spellings (C-76), and
 * what a peer need not know of another (environment, region, versions, build) may be absent.
 */
import type { Peer } from '../../../generated/types/index.ts';
import { isTenantId } from '../../platform/auth/claims.ts';
import { isPlatformScope, scopesNamed } from '../../platform/tenancy/roles.ts';

export interface PeersFile {
  /** What the file says about this node; environment variables go before it. */
  readonly local: Partial<Peer> | null;
  readonly peers: readonly Peer[];
  /** By stack id; this node's own business, so it is told to nobody. A peer that is not there speaks for no tenant. */
  readonly trust: ReadonlyMap<string, PeerTrustRules>;
}

/** What a peer may do here: `{"tenants": ["tnt_a"], "scopes": ["runs:read"], "authority": "AB:…"}`; `["*"]` is every tenant, none is none. */
export interface PeerTrustRules {
  readonly tenants: 'all' | ReadonlySet<string>;
  /** null: whatever a tenant's callers can have. */
  readonly scopes: ReadonlySet<string> | null;
  /** SHA-256 fingerprint (hex with colons) of the authority that its certificate must come from; null: any that this node knows. */
  readonly authority: string | null;
}

export const NO_PEERS: PeersFile = { local: null, peers: [], trust: new Map() };

/** A peers file that cannot be used; the message begins with the JSON pointer of the place. */
export class PeersFileError extends Error {
  readonly pointer: string;
  constructor(pointer: string, message: string) {
    super(`${pointer === '' ? '/' : pointer} ${message}`);
    this.name = 'PeersFileError';
    this.pointer = pointer;
  }
}

type Json = Record<string, unknown>;

/** Emitted spelling first. */
const ENDPOINT_KEYS = {
  'agent-orchestrator_base_url': ['agent-orchestrator_base_url', 'agent_orchestrator_base_url', 'stack_a_base_url'],
  'model-policy_base_url': ['model-policy_base_url', 'model_policy_base_url', 'stack_b_base_url'],
  federation_base_url: ['federation_base_url', 'federation-base_url'],
} as const;
const LOCAL_MEMBERS = new Set(['stack_id', 'environment', 'region', 'api_versions', 'endpoints', 'build']);
const PEER_MEMBERS = new Set([...LOCAL_MEMBERS, 'trust']);
const FINGERPRINT = /^[0-9a-f]{2}(?::[0-9a-f]{2}){31}$/i;
/** Stands where a file says nothing about a build. */
const UNKNOWN_BUILD: Peer['build'] = { version: 'unknown', git_sha: 'unknown', timestamp: '1970-01-01T00:00:00Z' };

/** @throws PeersFileError */
export function parsePeersFile(text: string): PeersFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PeersFileError('', `is not JSON: ${(error as Error).message}`);
  }
  const root = requireObject(value, '');
  refuseUnknown(root, new Set(['local', 'peers']), '');
  const local = root['local'] === undefined ? null : readPeer(root['local'], '/local', false);
  const list = root['peers'] ?? [];
  if (!Array.isArray(list)) throw new PeersFileError('/peers', 'must be a list of peers');
  const peers = list.map((entry, index) => readPeer(entry, `/peers/${index}`, true) as Peer);
  const seen = new Map<string, number>();
  peers.forEach((peer, index) => {
    const first = seen.get(peer.stack_id);
    if (first !== undefined) throw new PeersFileError(`/peers/${index}/stack_id`, `repeats ${peer.stack_id}, which /peers/${first} has already`);
    seen.set(peer.stack_id, index);
  });
  return { local, peers, trust: readTrust(list) };
}

/** The lists have been read as peers before. */
function readTrust(list: readonly unknown[]): ReadonlyMap<string, PeerTrustRules> {
  const trust = new Map<string, PeerTrustRules>();
  for (const [index, entry] of (list as Json[]).entries()) {
    if (entry['trust'] === undefined) continue;
    const pointer = `/peers/${index}/trust`;
    const raw = requireObject(entry['trust'], pointer);
    refuseUnknown(raw, new Set(['tenants', 'scopes', 'authority']), pointer);
    const tenants = readNames(raw['tenants'] ?? [], `${pointer}/tenants`, 'tenant ids, or ["*"] for every tenant');
    if (tenants.includes('*') && tenants.length > 1) throw new PeersFileError(`${pointer}/tenants`, 'names every tenant by "*", and others beside it; give one of them');
    const unfit = tenants.findIndex((tenant) => tenant !== '*' && !isTenantId(tenant));
    if (unfit !== -1) throw new PeersFileError(`${pointer}/tenants/${unfit}`, 'is no tenant id');
    const authority = raw['authority'];
    if (authority !== undefined && !(typeof authority === 'string' && FINGERPRINT.test(authority))) throw new PeersFileError(`${pointer}/authority`, 'must be a SHA-256 fingerprint: 32 bytes in hex, with colons between them');
    trust.set(entry['stack_id'] as string, {
      tenants: tenants[0] === '*' ? 'all' : new Set(tenants),
      scopes: raw['scopes'] === undefined ? null : readScopes(raw['scopes'], `${pointer}/scopes`),
      authority: authority?.toUpperCase() ?? null,
    });
  }
  return trust;
}

function readScopes(value: unknown, pointer: string): ReadonlySet<string> {
  const names = readNames(value, pointer, 'scopes such as "runs:read"');
  return new Set(names.flatMap((name, index) => {
    const scopes = scopesNamed(name);
    if (scopes === null) throw new PeersFileError(`${pointer}/${index}`, `is no scope: ${name}`);
    if (scopes.some(isPlatformScope)) throw new PeersFileError(`${pointer}/${index}`, `reaches beyond one tenant (${name}), which no peer can`);
    return scopes;
  }));
}

function readNames(value: unknown, pointer: string, what: string): readonly string[] {
  if (!Array.isArray(value) || !value.every((each) => typeof each === 'string' && each !== '')) throw new PeersFileError(pointer, `must be a list of ${what}`);
  return value as string[];
}

/** @param whole a peer needs its id and endpoints; of this node the file may say as little as it likes */
function readPeer(value: unknown, pointer: string, whole: boolean): Partial<Peer> {
  const raw = requireObject(value, pointer);
  refuseUnknown(raw, whole ? PEER_MEMBERS : LOCAL_MEMBERS, pointer);
  const stackId = readString(raw, 'stack_id', pointer, whole);
  const environment = readString(raw, 'environment', pointer, false);
  const region = readString(raw, 'region', pointer, false);
  const endpoints = raw['endpoints'] === undefined && !whole ? undefined : readEndpoints(raw['endpoints'], `${pointer}/endpoints`);
  const versions = raw['api_versions'];
  if (versions !== undefined && !(Array.isArray(versions) && versions.every((each) => typeof each === 'string' && each !== ''))) {
    throw new PeersFileError(`${pointer}/api_versions`, 'must be a list of version names such as "v1"');
  }
  const build = raw['build'] === undefined ? undefined : readBuild(raw['build'], `${pointer}/build`);
  if (whole) {
    return {
      stack_id: stackId!, environment: environment ?? '', region: region ?? '',
      api_versions: (versions as string[] | undefined) ?? ['v1'], endpoints: endpoints!, build: build ?? UNKNOWN_BUILD,
    };
  }
  return {
    ...(stackId === undefined ? {} : { stack_id: stackId }),
    ...(environment === undefined ? {} : { environment }),
    ...(region === undefined ? {} : { region }),
    ...(versions === undefined ? {} : { api_versions: versions as string[] }),
    ...(endpoints === undefined ? {} : { endpoints }),
    ...(build === undefined ? {} : { build }),
  };
}

function readEndpoints(value: unknown, pointer: string): Peer['endpoints'] {
  const raw = requireObject(value, pointer);
  refuseUnknown(raw, new Set(Object.values(ENDPOINT_KEYS).flat()), pointer);
  const read = (key: keyof typeof ENDPOINT_KEYS): string | undefined => {
    const given = ENDPOINT_KEYS[key].filter((spelling) => raw[spelling] !== undefined);
    if (given.length > 1) throw new PeersFileError(`${pointer}/${given[1]}`, `is another spelling of ${given[0]}; give one of them`);
    return given[0] === undefined ? undefined : readUrl(raw[given[0]], `${pointer}/${given[0]}`);
  };
  const orchestrator = read('agent-orchestrator_base_url');
  const models = read('model-policy_base_url');
  if (orchestrator === undefined) throw new PeersFileError(`${pointer}/agent-orchestrator_base_url`, 'is missing');
  if (models === undefined) throw new PeersFileError(`${pointer}/model-policy_base_url`, 'is missing');
  const federation = read('federation_base_url');
  return {
    'agent-orchestrator_base_url': orchestrator,
    'model-policy_base_url': models,
    ...(federation === undefined ? {} : { federation_base_url: federation }),
  };
}

function readBuild(value: unknown, pointer: string): Peer['build'] {
  const raw = requireObject(value, pointer);
  const version = readString(raw, 'version', pointer, true)!;
  const gitSha = readString(raw, 'git_sha', pointer, true)!;
  const timestamp = readString(raw, 'timestamp', pointer, true)!;
  if (!/^\d{4}-\d{2}-\d{2}T/.test(timestamp) || Number.isNaN(Date.parse(timestamp))) throw new PeersFileError(`${pointer}/timestamp`, 'must be a time such as 2026-01-31T09:00:00Z');
  return { version, git_sha: gitSha, timestamp };
}

function readUrl(value: unknown, pointer: string): string {
  if (typeof value !== 'string' || !URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol)) {
    throw new PeersFileError(pointer, 'must be an http or https URL');
  }
  return value.replace(/\/+$/, '');
}

function readString(raw: Json, member: string, pointer: string, required: boolean): string | undefined {
  const value = raw[member];
  if (value === undefined && !required) return undefined;
  if (value === undefined) throw new PeersFileError(`${pointer}/${member}`, 'is missing');
  if (typeof value !== 'string' || value.length > 256 || (required && value === '')) throw new PeersFileError(`${pointer}/${member}`, 'must be a string of 1 to 256 characters');
  return value;
}

function requireObject(value: unknown, pointer: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new PeersFileError(pointer, 'must be an object');
  return value as Json;
}

function refuseUnknown(raw: Json, known: ReadonlySet<string>, pointer: string): void {
  const unknown = Object.keys(raw).find((member) => !known.has(member));
  if (unknown !== undefined) throw new PeersFileError(`${pointer}/${unknown}`, `is not known; known are ${[...known].join(', ')}`);
}
