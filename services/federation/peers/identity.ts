/**
 * Who this node is and which peers it knows (Appendix F.1). What the environment says explicitly goes before the peers
 * file, and the file before the defaults. The endpoints of Agent Orchestrator and Model Policy are the other way round:
 * the variables say where services of one node find each other, which is often inside a private network, so an address in
 * the file is what peers are told. Federation has an address for peers alone, and with it a variable that goes first.
 */
import { hostname } from 'node:os';
import type { Peer } from '../../../generated/types/index.ts';
import { ConfigError, type Config } from '../../platform/config/load.ts';
import { programTimestamp, SERVICE_VERSION } from '../../platform/build-info.ts';
import { hearsPeers } from '../trust/open-trust.ts';
import type { PeersFile } from './peers-file.ts';

export interface NodeIdentity {
  readonly local: Peer;
  /** Without the node itself; as the peers file has them now. */
  readonly peers: readonly Peer[];
}

/** Region of a node that was told none. */
const DEFAULT_REGION = 'local';

/**
 * @param mode stands for the environment where neither the variable nor the file names one
 * @param file a function where the file may change; what it says of this node counts as it is now
 */
export function nodeIdentity(config: Pick<Config, 'values' | 'sources'>, mode: string, file: PeersFile | (() => PeersFile)): NodeIdentity {
  const { values, sources } = config;
  const current = typeof file === 'function' ? file : () => file;
  const told = current().local ?? {};
  const choose = (variable: 'AGENTOS_STACK_ID' | 'AGENTOS_ENVIRONMENT' | 'AGENTOS_REGION', fromFile: string | undefined, fallback: string): string =>
    sources[variable] === 'default' || sources[variable] === 'unset' ? fromFile || fallback : values[variable];
  const local: Peer = {
    stack_id: choose('AGENTOS_STACK_ID', told.stack_id, values.AGENTOS_STACK_ID),
    environment: choose('AGENTOS_ENVIRONMENT', told.environment, mode),
    region: choose('AGENTOS_REGION', told.region, DEFAULT_REGION),
    api_versions: ['v1'],
    endpoints: endpointsOf(values, told.endpoints),
    // A file cannot know which build reads it.
    build: { version: SERVICE_VERSION, git_sha: values.AGENTOS_GIT_SHA, timestamp: values.AGENTOS_BUILD_TIMESTAMP ?? programTimestamp() },
  };
  return {
    local,
    get peers() {
      return current().peers.filter((peer) => peer.stack_id !== local.stack_id);
    },
  };
}

function endpointsOf(values: Config['values'], told: Peer['endpoints'] | undefined): Peer['endpoints'] {
  const known: Peer['endpoints'] = told ?? { 'agent-orchestrator_base_url': values.AGENTOS_AGENT_ORCHESTRATOR_URL, 'model-policy_base_url': values.AGENTOS_MODEL_POLICY_URL };
  const federation = given(values.AGENTOS_FED_PEER_URL) ?? told?.federation_base_url ?? (hearsPeers(values) ? listenerUrl(values) : told === undefined ? values.AGENTOS_FEDERATION_URL : undefined);
  return { ...known, ...(federation === undefined ? {} : { federation_base_url: federation }) };
}

/** @throws ConfigError for what no peer would call. */
function given(url: string | undefined): string | undefined {
  if (url === undefined || new URL(url).protocol === 'https:') return url?.replace(/\/+$/, '');
  throw new ConfigError('AGENTOS_FED_PEER_URL', `AGENTOS_FED_PEER_URL is ${url}, and peers are reached over https alone. Set it to the https address of this node's listener for other nodes.`);
}

const EVERY_INTERFACE: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** Where the listener for peers is; on every interface, the name of this machine stands for it. */
function listenerUrl({ AGENTOS_FED_PEER_HOST: bound, AGENTOS_FED_PEER_PORT: port }: Config['values']): string {
  const host = EVERY_INTERFACE.has(bound) ? hostname() : bound;
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
