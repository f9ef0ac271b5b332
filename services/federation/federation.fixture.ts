/** Federation's forwarding over memory, for tests: scripted nodes stand where others would be. */
import { createLogger } from '../platform/telemetry/logger.ts';
import { MemoryAudit } from '../platform/audit/audit-memory.ts';
import { createMetrics } from '../platform/telemetry/metrics.ts';
import type { Peer } from '../../generated/types/index.ts';
import type { AuthContext } from '../platform/tenancy/auth-context.ts';
import { MemoryForwardIndex } from './adapters/forward-index-memory.ts';
import { createForwarding } from './forwarding/forwarding.ts';
import { createNodes } from './forwarding/nodes.ts';
import { createForwardObserver } from './forwarding/observer.ts';
import { createRunLocation } from './forwarding/run-location.ts';
import type { ForwardIndexPort } from './ports/forward-index.ts';
import type { PeerPort } from './ports/peer.ts';

const log = createLogger({ service: 'federation', level: 'silent' });

export function peerOf(stackId: string, more: Partial<Peer> = {}): Peer {
  return {
    stack_id: stackId, environment: 'test', region: 'eu-1', api_versions: ['v1'],
    endpoints: { 'agent-orchestrator_base_url': `https://${stackId.slice(4)}.example`, 'model-policy_base_url': `https://${stackId.slice(4)}.example/m`, federation_base_url: `https://${stackId.slice(4)}.example:50084` },
    build: { version: '1.0.2', git_sha: 'abc', timestamp: '2026-01-01T00:00:00Z' },
    ...more,
  };
}

export const CALLER: AuthContext = {
  tenant_id: 'tnt_a', principal: { principal_id: 'svc_a', principal_type: 'service' }, scopes: ['runs:forward', 'runs:read', 'tenants:admin'], roles: ['tenant_service'],
};

export interface ForwardingFixture {
  readonly local: PeerPort;
  readonly remote?: PeerPort | null;
  readonly own?: Peer;
  readonly peers?: readonly Peer[];
  readonly index?: ForwardIndexPort;
  readonly maxAttempts?: number;
  readonly idempotencyKeyRequired?: boolean;
}

export function forwardingOver({ local, remote = null, own = peerOf('stk_a'), peers = [], idempotencyKeyRequired = false, maxAttempts = 3, ...given }: ForwardingFixture) {
  const audit = new MemoryAudit();
  const metrics = createMetrics({ service: 'federation', process: false });
  const index = given.index ?? new MemoryForwardIndex(Date.now, audit);
  const node = { local: own, peers };
  const nodes = createNodes({ node, local, remote });
  const slept: number[] = [];
  const attempts = { maxAttempts, baseBackoffMs: 100, sleep: async (ms: number) => void slept.push(ms), random: () => 1 };
  const forwarding = createForwarding({ node, nodes, index, attempts, observer: createForwardObserver({ audit, metrics, log }), idempotencyKeyRequired, idempotencyTtlHours: 24 });
  return { forwarding, nodes, index, audit, metrics, slept, node, runs: createRunLocation({ nodes, index, attempts }) };
}
