/** Every operation of Federation that this release serves; the planned ones are answered by the pipeline. */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import type { Health } from '../../platform/http/health.ts';
import type { NodeModelsSource } from '../adapters/model-policy-models.ts';
import type { NodeLimits } from '../peers/capabilities.ts';
import type { NodeIdentity } from '../peers/identity.ts';
import { federationHealth } from './federationHealth.ts';
import { getMetrics } from './getMetrics.ts';
import { getPeerCapabilities } from './getPeerCapabilities.ts';
import { getPeerInfo } from './getPeerInfo.ts';
import { getReadiness } from './getReadiness.ts';
import { listPeers } from './listPeers.ts';

export interface ApiParts {
  readonly node: NodeIdentity;
  readonly limits: NodeLimits;
  readonly models: NodeModelsSource;
  readonly health: Health<'federation'>;
}

export function createHandlers({ node, limits, models, health }: ApiParts) {
  return {
    getPeerInfo: getPeerInfo(node),
    getPeerCapabilities: getPeerCapabilities(node, limits, models),
    listPeers: listPeers(node),
    federationHealth: federationHealth(health),
    getReadiness: getReadiness(health),
    getMetrics: getMetrics(health),
  } satisfies FederationHandlers;
}
