/**
 * Which node a run goes to (PRS 7.3, C-30). Everything that the selector says must hold; the preferred tier of models
 * decides among those where it does, then this node before others, then the order of the peers file. Pure.
 */
import type { Peer, TargetSelector } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { NodeIdentity } from '../peers/identity.ts';
import type { PeerDescription } from '../ports/peer.ts';
import { commonVersion, missingCapabilities } from './negotiation.ts';

export interface Candidate {
  /** As the configuration names it. */
  readonly peer: Peer;
  /** What it says of itself, or why nobody knows. */
  readonly described: PeerDescription | AgentOsError;
}

/** The nodes to ask, in the order in which they are taken. @throws AgentOsError not_found. */
export function possibleTargets({ local, peers }: NodeIdentity, { stack_id: stackId, region }: TargetSelector): readonly Peer[] {
  const nodes = [local, ...peers];
  const named = stackId === undefined ? nodes : nodes.filter((node) => node.stack_id === stackId);
  if (named.length === 0) throw peerNotFound(stackId!);
  // A peers file may leave the region out: then the node is asked.
  const there = named.filter((node) => region === undefined || node.region === '' || node.region === region);
  if (there.length === 0) throw nobodyThere(region!, named);
  return there;
}

/** @param candidates what became of asking `possibleTargets`, in their order. @throws AgentOsError that says what none of them has. */
export function chooseTarget(own: Peer, selector: TargetSelector, candidates: readonly Candidate[]): Peer {
  const known = candidates.flatMap(({ peer, described }) => (described instanceof AgentOsError ? [] : [{ peer, told: described.peer, capabilities: described.capabilities }]));
  const there = known.filter(({ peer, told }) => selector.region === undefined || (peer.region || told.region) === selector.region);
  const understood = there.filter(({ told }) => commonVersion(own, told) !== null);
  const required = selector.required_capabilities ?? [];
  const judged = understood.map((each) => ({ ...each, missing: missingCapabilities(required, each.capabilities) }));
  const able = judged.filter(({ missing }) => missing.length === 0);
  const preferred = able.find(({ capabilities }) => capabilities.models.tiers.includes(selector.preferred_model_tier ?? ''));
  const chosen = preferred ?? able[0];
  if (chosen !== undefined) return chosen.peer;
  // A node that did not answer may be the one that is wanted, and may answer the next time.
  const unasked = candidates.flatMap(({ described }) => (described instanceof AgentOsError ? [described] : []));
  const away = unasked.find(({ code, retryable }) => code === 'dependency_unavailable' && retryable);
  if (away !== undefined) throw away;
  if (judged.length > 0) throw lacking(judged.map(({ peer, missing }) => ({ peer, missing })));
  if (there.length > 0) throw versionUnsupported(own, there.map(({ told }) => told));
  if (unasked[0] !== undefined) throw unasked[0];
  throw nobodyThere(selector.region!, known.map(({ peer }) => peer));
}

export const peerNotFound = (stackId: string): AgentOsError =>
  new AgentOsError('not_found', {
    message: `This node knows no node ${stackId}. Its peers are listed at /v1/federation/peers.`,
    details: { reason: 'peer_not_found', stack_id: stackId },
  });

const nobodyThere = (region: string, nodes: readonly Peer[]): AgentOsError =>
  new AgentOsError('not_found', {
    message: `None of the nodes that were asked for is in region ${region}.`,
    details: { reason: 'no_peer_in_region', region, peers: nodes.map((node) => node.stack_id) },
  });

/** Tells of the node that comes nearest. */
function lacking(judged: ReadonlyArray<{ readonly peer: Peer; readonly missing: readonly string[] }>): AgentOsError {
  const { peer, missing } = judged.reduce((best, each) => (each.missing.length < best.missing.length ? each : best));
  return new AgentOsError('conflict', {
    message: `${judged.length === 1 ? `${peer.stack_id} does` : 'None of the nodes that were asked for does'} not have all of the required capabilities; missing${judged.length === 1 ? '' : ` on ${peer.stack_id}`}: ${missing.join(', ')}.`,
    details: { reason: 'capability_missing', missing_capabilities: missing, peers: judged.map((each) => each.peer.stack_id) },
  });
}

const versionUnsupported = (own: Peer, theirs: readonly Peer[]): AgentOsError =>
  new AgentOsError('conflict', {
    message: `${theirs.map((node) => `${node.stack_id} speaks ${node.api_versions.join(', ') || 'no version'}`).join('; ')}; this node speaks ${own.api_versions.join(', ')}. They have no API version in common.`,
    details: { reason: 'version_unsupported', api_versions: own.api_versions, peers: theirs.map((node) => ({ stack_id: node.stack_id, api_versions: node.api_versions })) },
  });
