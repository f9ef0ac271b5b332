/** Which node a run goes to, and who is told what when there is none (PRS 3.2, 7.3, 7.4; C-30). */
import { describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import type { Peer, PeerCapabilities, TargetSelector } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { peerOf } from '../federation.fixture.ts';
import { commonVersion, missingCapabilities } from './negotiation.ts';
import { chooseTarget, possibleTargets, type Candidate } from './selection.ts';

const OWN = peerOf('stk_a', { region: 'eu-1' });
const B = peerOf('stk_b', { region: 'us-1' });
const C = peerOf('stk_c', { region: 'us-1' });
const NODE = { local: OWN, peers: [B, C] };

const able = (more: Partial<PeerCapabilities['supports']> = {}, tiers: string[] = ['fast'], features?: string[]): PeerCapabilities => ({
  supports: { runs_forward: true, events_stream: true, tenant_isolation: true, tool_hosting: false, ...more },
  limits: { max_concurrent_runs: 1, max_event_streams: 1 }, models: { tiers, backends: [], max_context_tokens: 0 }, ...(features === undefined ? {} : { features }),
});
const says = (peer: Peer, capabilities = able(), told: Peer = peer): Candidate => ({ peer, described: { peer: told, capabilities } });
const away = (peer: Peer): Candidate => ({ peer, described: new AgentOsError('dependency_unavailable', { message: 'away' }) });
const chosen = (selector: TargetSelector, ...candidates: Candidate[]) => chooseTarget(OWN, selector, candidates).stack_id;
function refused(work: () => unknown): AgentOsError {
  try {
    work();
  } catch (error) {
    if (error instanceof AgentOsError) return error;
  }
  throw new Error('It should have been refused.');
}

describe('the nodes that are asked', () => {
  it('is the one that is named, by its exact id', verifies(['PRS-7.3-01'], () => {
    expect(possibleTargets(NODE, { stack_id: 'stk_c' })).toEqual([C]);
    expect(possibleTargets(NODE, { stack_id: 'stk_a' })).toEqual([OWN]);
    expect(refused(() => possibleTargets(NODE, { stack_id: 'stk_' }))).toMatchObject({ code: 'not_found', details: { reason: 'peer_not_found', stack_id: 'stk_' } });
  }));

  it('are those of the region, this node first, and those whose region nobody wrote down', verifies(['PRS-7.3-02'], () => {
    const silent = peerOf('stk_d', { region: '' });
    expect(possibleTargets({ local: OWN, peers: [B, silent] }, { region: 'us-1' }).map((peer) => peer.stack_id)).toEqual(['stk_b', 'stk_d']);
    expect(possibleTargets(NODE, { required_capabilities: [] }).map((peer) => peer.stack_id)).toEqual(['stk_a', 'stk_b', 'stk_c']);
    expect(refused(() => possibleTargets(NODE, { region: 'mars' }))).toMatchObject({ code: 'not_found', details: { reason: 'no_peer_in_region', region: 'mars' } });
    expect(refused(() => possibleTargets(NODE, { stack_id: 'stk_b', region: 'eu-1' }))).toMatchObject({ code: 'not_found', details: { reason: 'no_peer_in_region' } });
  }));
});

describe('the node that is taken', () => {
  it('can do all that is required, dotted or underscored, by its list or by what it supports', verifies(['PRS-7.3-02'], () => {
    expect(chosen({ required_capabilities: ['events.stream', 'tenant_isolation'] }, says(OWN, able({ events_stream: false })), says(B))).toBe('stk_b');
    expect(chosen({ required_capabilities: ['gpu.h100'] }, says(OWN), says(B, able({}, [], ['gpu_h100'])))).toBe('stk_b');
    expect(missingCapabilities(['tool_hosting', 'x.y'], able({}, [], ['tool.hosting']))).toEqual(['tool_hosting', 'x.y']);
  }));

  it('is refused with the list of what is missing everywhere', verifies(['PRS-7.4-06', 'PRS-7.3-02'], () => {
    const error = refused(() => chosen({ required_capabilities: ['tool.hosting', 'teleport', 'events_stream'] }, says(OWN, able({ events_stream: false })), says(B)));
    expect(error).toMatchObject({ code: 'conflict', details: { reason: 'capability_missing', missing_capabilities: ['tool.hosting', 'teleport'], peers: ['stk_a', 'stk_b'] } });
  }));

  it('is this node first, then the order of the file, and a preferred tier goes before both', () => {
    expect(chosen({ required_capabilities: [] }, says(OWN), says(B))).toBe('stk_a');
    expect(chosen({ region: 'us-1' }, says(B), says(C))).toBe('stk_b');
    expect(chosen({ region: 'us-1', preferred_model_tier: 'premium' }, says(B), says(C, able({}, ['premium'])))).toBe('stk_c');
    expect(chosen({ region: 'us-1', preferred_model_tier: 'unheard-of' }, says(B), says(C))).toBe('stk_b');
  });

  it('is another one where one cannot be reached; alone, or where the others cannot do it, that is said', () => {
    expect(chosen({ region: 'us-1' }, away(B), says(C))).toBe('stk_c');
    expect(refused(() => chosen({ stack_id: 'stk_b' }, away(B)))).toMatchObject({ code: 'dependency_unavailable' });
    expect(refused(() => chosen({ required_capabilities: ['teleport'] }, says(OWN), away(B))).code).toBe('dependency_unavailable');
  });

  it('is where the peers file says that it is; without a word there, where it says so itself', () => {
    const silent = peerOf('stk_d', { region: '' });
    expect(chosen({ region: 'us-1' }, says(silent, able(), peerOf('stk_d', { region: 'us-1' })))).toBe('stk_d');
    expect(refused(() => chosen({ region: 'us-1' }, says(silent, able(), peerOf('stk_d', { region: 'eu-1' })))).code).toBe('not_found');
    expect(chosen({ region: 'us-1' }, says(B, able(), peerOf('stk_b', { region: 'elsewhere' })))).toBe('stk_b');
  });
});

describe('versions', () => {
  it('are the newest that both speak, whatever else one of them knows', verifies(['PRS-3.2-02', 'PRS-7.4-06'], () => {
    const versions = (...api_versions: string[]) => ({ api_versions });
    expect(commonVersion(versions('v1'), versions('v1', 'v2', 'v3-preview'))).toBe('v1');
    expect(commonVersion(versions('v1', 'v2', 'v10'), versions('v10', 'v2'))).toBe('v10');
    expect(commonVersion(versions('v1'), versions('v2'))).toBeNull();
    expect(commonVersion(versions('v1'), versions())).toBeNull();
  }));

  it('without one in common the node is refused, and told by whom and why; another one is taken where there is one', verifies(['PRS-3.2-02', 'PRS-7.4-06'], () => {
    const next = peerOf('stk_b', { region: 'us-1', api_versions: ['v2'] });
    const error = refused(() => chosen({ stack_id: 'stk_b' }, says(B, able(), next)));
    expect(error).toMatchObject({ code: 'conflict', details: { reason: 'version_unsupported', api_versions: ['v1'], peers: [{ stack_id: 'stk_b', api_versions: ['v2'] }] } });
    expect(chosen({ region: 'us-1' }, says(B, able(), next), says(C))).toBe('stk_c');
  }));
});
