/** The edge of this node's services, from its configuration. */
import type { Mode } from '../../config/mode.ts';
import type { ConfigValues } from '../../config/variables.ts';
import { createCors } from './cors.ts';
import type { EdgeOptions } from './edge.ts';
import type { GcraRule } from './gcra.ts';
import { createEdgeLimits } from './limits.ts';
import { parseTrustedProxies } from './trusted-proxy.ts';

/** Addresses and credentials that a process keeps count of, at the most: some megabytes. */
const MAX_KEYS = 50_000;
/** Refused credentials that an address may send at once. */
const REFUSAL_BURST = 20;

export type EdgeVariables = Pick<ConfigValues,
  'AGENTOS_TRUSTED_PROXY' | 'AGENTOS_CORS_ORIGINS' | 'AGENTOS_EDGE_ADDRESS_QPS' | 'AGENTOS_EDGE_KEY_QPS' | 'AGENTOS_EDGE_REFUSALS_PER_MINUTE' | 'AGENTOS_EDGE_ADDRESS_CONNECTIONS'>;

/** @throws ConfigError that names the entry which cannot be read. */
export function configuredEdge(values: EdgeVariables, mode: Mode): EdgeOptions {
  const perMinute = values.AGENTOS_EDGE_REFUSALS_PER_MINUTE;
  return {
    proxies: parseTrustedProxies(values.AGENTOS_TRUSTED_PROXY),
    cors: createCors(values.AGENTOS_CORS_ORIGINS),
    limits: createEdgeLimits({
      perAddress: rule(values.AGENTOS_EDGE_ADDRESS_QPS),
      perKey: rule(values.AGENTOS_EDGE_KEY_QPS),
      refusals: perMinute === 0 ? null : { perSecond: perMinute / 60, burst: REFUSAL_BURST },
      maxKeys: MAX_KEYS,
    }),
    localOnly: mode === 'demo',
    maxConnectionsPerAddress: values.AGENTOS_EDGE_ADDRESS_CONNECTIONS === 0 ? Number.POSITIVE_INFINITY : values.AGENTOS_EDGE_ADDRESS_CONNECTIONS,
  };
}

/** Twice a second's worth at once, for clients that wake up together; null for 0, which switches the limit off. */
function rule(perSecond: number): GcraRule | null {
  return perSecond === 0 ? null : { perSecond, burst: Math.max(1, Math.ceil(perSecond * 2)) };
}
