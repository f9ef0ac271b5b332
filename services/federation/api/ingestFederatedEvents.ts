/** POST /v1/federation/events:ingest (Appendix F.5; C-25 to C-28). */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import { ingestEvents, type IngestParts } from '../replication/ingest.ts';

export const ingestFederatedEvents = (parts: IngestParts): FederationHandlers['ingestFederatedEvents'] =>
  async ({ body, auth, context }) => {
    const outcome = await ingestEvents(parts, auth, body, context);
    return { status: 200, body: { ...outcome, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
