/**
 * Two nodes on one machine meet as two companies would: each makes an authority and a certificate of its own, and takes
 * the other's card. A node that is alone and has certificates keeps them from running out.
 */
import { readFileSync } from 'node:fs';
import { baseUrl } from '../api.ts';
import { SECOND_NODE, SECOND_REGION, SECOND_STACK_ID } from '../nodes.ts';
import type { Settings } from '../settings.ts';
import { certificateFacts } from './certificate-facts.ts';
import { federationFiles } from './files.ts';
import { readPeersDocument, type PeerIdentity } from './peers-document.ts';
import { addPeer, cardOf, setUpFederation } from './set-up.ts';

/** Answers what was done, for people. */
export async function prepareFederation(nodes: readonly Settings[]): Promise<string> {
  const done: string[] = [];
  for (const node of nodes) {
    const known = readPeersDocument(node.home)?.local;
    const identity = nodes.length > 1 ? localIdentity(node, known) : known;
    if (identity !== undefined) done.push(await setUpFederation(node.home, { identity, names: namesNow(node.home) }));
  }
  const [first, second] = nodes;
  if (first !== undefined && second !== undefined) {
    for (const [own, other] of [[first, second], [second, first]] as const) introduce(own, other);
    done.push('each knows the other');
  }
  return done.join(', ');
}

/** What the operator gave the certificate stays in it. */
function namesNow(home: string): readonly string[] {
  try {
    return certificateFacts(readFileSync(federationFiles(home).certificate, 'utf8')).names;
  } catch {
    return [];
  }
}

/** Addresses follow the ports of today; a name that an operator gave stays. */
function localIdentity(node: Settings, known: PeerIdentity | undefined): PeerIdentity {
  const { values, sources } = node.config;
  const isSecond = node.node === SECOND_NODE;
  const chosen = sources.AGENTOS_STACK_ID === 'default' ? known?.stack_id : values.AGENTOS_STACK_ID;
  return {
    stack_id: chosen ?? (isSecond ? SECOND_STACK_ID : values.AGENTOS_STACK_ID),
    environment: values.AGENTOS_ENVIRONMENT || known?.environment || node.mode,
    region: values.AGENTOS_REGION || known?.region || (isSecond ? SECOND_REGION : 'local'),
    api_versions: ['v1'],
    endpoints: {
      'agent-orchestrator_base_url': baseUrl(node, 'agent-orchestrator'),
      'model-policy_base_url': baseUrl(node, 'model-policy'),
      federation_base_url: federationUrl(node, known),
    },
  };
}

/** An address that an operator gave, and that is not this machine's, is what other peers know. */
function federationUrl(node: Settings, known: PeerIdentity | undefined): string {
  const given = node.config.values.AGENTOS_FED_PEER_URL?.replace(/\/+$/, '') ?? known?.endpoints.federation_base_url;
  return given !== undefined && !/^https:\/\/(127\.0\.0\.1|localhost|\[::1\])(:|$)/.test(given) ? given : `https://127.0.0.1:${node.config.values.AGENTOS_FED_PEER_PORT}`;
}

/** What is allowed between the two stays as an operator changed it. */
function introduce(own: Settings, other: Settings): void {
  const card = cardOf(other.home);
  const now = readPeersDocument(own.home)?.peers.find((peer) => peer.stack_id === card.peer.stack_id);
  addPeer(own.home, card, { tenants: now?.trust.tenants ?? ['*'], ...(now?.trust.scopes === undefined ? {} : { scopes: now.trust.scopes }) });
}
