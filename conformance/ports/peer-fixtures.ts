/** What the suites of federation's ports share. */
import type { Peer } from '../../generated/types/index.ts';
import type { PeerCall } from '../../services/federation/ports/peer.ts';

export const peerCall = (): PeerCall => ({ correlationId: 'corr_suite', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', signal: new AbortController().signal });

export function peerAt(stackId: string, url: string): Peer {
  return {
    stack_id: stackId, environment: 'test', region: 'eu-9', api_versions: ['v1'],
    endpoints: { 'agent-orchestrator_base_url': url, 'model-policy_base_url': url, federation_base_url: url },
    build: { version: '1', git_sha: 'x', timestamp: '2026-01-01T00:00:00Z' },
  };
}
