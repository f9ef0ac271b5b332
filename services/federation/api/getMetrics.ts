/** GET /metrics (PRS 9.1). */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import type { Health } from '../../platform/http/health.ts';

export function getMetrics(health: Health<'federation'>): FederationHandlers['getMetrics'] {
  return health.metrics;
}
