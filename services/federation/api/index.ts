/** Every operation of Federation that this release serves; the planned ones are answered by the pipeline. */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import type { Health } from '../../platform/http/health.ts';
import type { Forwarding } from '../forwarding/forwarding.ts';
import type { RunLocation } from '../forwarding/run-location.ts';
import type { NodeIdentity } from '../peers/identity.ts';
import type { IngestParts } from '../replication/ingest.ts';
import type { OwnDescription } from '../peers/own-description.ts';
import { cancelFederatedRun } from './cancelFederatedRun.ts';
import { federationHealth } from './federationHealth.ts';
import { forwardRun } from './forwardRun.ts';
import { getFederatedRun } from './getFederatedRun.ts';
import { getMetrics } from './getMetrics.ts';
import { getPeerCapabilities } from './getPeerCapabilities.ts';
import { getPeerInfo } from './getPeerInfo.ts';
import { getReadiness } from './getReadiness.ts';
import { ingestFederatedEvents } from './ingestFederatedEvents.ts';
import { listPeers } from './listPeers.ts';
import { streamFederatedRunEvents, type OpenRunEvents } from './streamFederatedRunEvents.ts';

export interface ApiParts {
  readonly node: NodeIdentity;
  readonly own: OwnDescription;
  readonly forwarding: Forwarding;
  readonly runs: RunLocation;
  readonly openRunEvents: OpenRunEvents;
  readonly ingest: IngestParts;
  readonly health: Health<'federation'>;
}

export function createHandlers({ node, own, forwarding, runs, openRunEvents, ingest, health }: ApiParts) {
  return {
    getPeerInfo: getPeerInfo(node),
    getPeerCapabilities: getPeerCapabilities(own),
    listPeers: listPeers(node),
    forwardRun: forwardRun(forwarding),
    getFederatedRun: getFederatedRun(runs),
    cancelFederatedRun: cancelFederatedRun(runs),
    streamFederatedRunEvents: streamFederatedRunEvents(openRunEvents),
    ingestFederatedEvents: ingestFederatedEvents(ingest),
    federationHealth: federationHealth(health),
    getReadiness: getReadiness(health),
    getMetrics: getMetrics(health),
  } satisfies FederationHandlers;
}
