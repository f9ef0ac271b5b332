/**
 * What this node can do for its peers (Appendix F.2). It tells the truth of this release: runs cannot be forwarded here
 * yet, events do not cross nodes yet, tools are not hosted for others; tenants are kept apart.
 */
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

const SUPPORTS = { runs_forward: false, events_stream: false, tenant_isolation: true, tool_hosting: false };

/** Version of the federation protocol, as older peers read it (C-07). */
export const PROTOCOL = '1.0';
/** Events do not come back over this node yet, by any way. */
export const EVENT_BACKHAUL = { mode: 'none' };

export function nodeCapabilities(limits: NodeLimits, models: NodeModels): PeerCapabilities {
  return {
    supports: { ...SUPPORTS },
    limits: { max_concurrent_runs: limits.maxConcurrentRuns, max_event_streams: limits.maxEventStreams },
    models: { tiers: [...models.tiers], backends: [...models.backends], max_context_tokens: models.maxContextTokens },
    // The dotted spelling of what is supported; selectors are compared after mapping dots to underscores (C-30).
    features: Object.entries(SUPPORTS).filter(([, supported]) => supported).map(([name]) => name.replace('_', '.')),
  };
}
