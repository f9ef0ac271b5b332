/**
 * What this node can do for its peers (Appendix F.2). It tells the truth of the running node: runs go and come where
 * there are certificates, events where this release streams them; tools are not hosted for others; tenants are kept apart.
 */
import { operations } from '../../../generated/handlers/federation.ts';
import type { PeerCapabilities } from '../../../generated/types/index.ts';

export interface NodeModels {
  readonly tiers: readonly string[];
  readonly backends: readonly string[];
  readonly maxContextTokens: number;
}

export interface NodeLimits {
  readonly maxConcurrentRuns: number;
  readonly maxEventStreams: number;
}

export const NO_MODELS: NodeModels = { tiers: [], backends: [], maxContextTokens: 0 };

const streamsEvents = operations.some(({ operationId, planned }) => operationId === 'streamFederatedRunEvents' && !planned);

/** Version of the federation protocol, as older peers read it (C-07). */
export const PROTOCOL = '1.0';
/** Whoever forwarded a run follows its stream. */
export const EVENT_BACKHAUL = { mode: streamsEvents ? 'sse' : 'none' };

/** @param trusted certificates for peers are configured */
export function nodeCapabilities(limits: NodeLimits, models: NodeModels, trusted: boolean): PeerCapabilities {
  const supports = { runs_forward: trusted, events_stream: streamsEvents, tenant_isolation: true, tool_hosting: false };
  return {
    supports,
    limits: { max_concurrent_runs: limits.maxConcurrentRuns, max_event_streams: limits.maxEventStreams },
    models: { tiers: [...models.tiers], backends: [...models.backends], max_context_tokens: models.maxContextTokens },
    // The dotted spelling of what is supported; selectors are compared after mapping dots to underscores (C-30).
    features: Object.entries(supports).filter(([, supported]) => supported).map(([name]) => name.replace('_', '.')),
  };
}
