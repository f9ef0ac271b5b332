/**
 * The peers file: `{local?, peers?}`, each an Appendix F.1 object. It is read strictly, since a mistyped member would
 * silently cut a node off, and leniently where older files differ: endpoint keys come in three spellings (C-76), and
 * what a peer need not know of another (environment, region, versions, build) may be absent.
 */
import type { Peer } from '../../../generated/types/index.ts';

export interface PeersFile {
  /** What the file says about this node; environment variables go before it. */
  readonly local: Partial<Peer> | null;
  readonly peers: readonly Peer[];
}

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
const PEER_MEMBERS = new Set(['stack_id', 'environment', 'region', 'api_versions', 'endpoints', 'build']);
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
  return { local, peers };
}

/** @param whole a peer needs its id and endpoints; of this node the file may say as little as it likes */
function readPeer(value: unknown, pointer: string, whole: boolean): Partial<Peer> {
  const raw = requireObject(value, pointer);
  refuseUnknown(raw, PEER_MEMBERS, pointer);
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
