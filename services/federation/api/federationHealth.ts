/** GET /v1/federation/health (C-04, C-33): the process answers, to anyone. */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import type { Health } from '../../platform/http/health.ts';

export function federationHealth(health: Health<'federation'>): FederationHandlers['federationHealth'] {
  return health.health;
}
