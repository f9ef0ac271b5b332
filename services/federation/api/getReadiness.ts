/** GET /readyz: ready while the database and Model Policy answer. */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import type { Health } from '../../platform/http/health.ts';

export function getReadiness(health: Health<'federation'>): FederationHandlers['getReadiness'] {
  return health.readiness;
}
