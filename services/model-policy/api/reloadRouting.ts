/** POST /v1/admin/routing:reload: reads the configuration again. One that cannot be used is a 409, and changes nothing. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import { catalogueToWire, type RoutingParts } from './routing-wire.ts';

export const reloadRouting = (parts: RoutingParts): ModelPolicyHandlers['reloadRouting'] =>
  async ({ auth, context }) => {
    await parts.backends.reload();
    context.log.info({ audit: 'routing.reload', principal_id: auth.principal.principal_id, revision: parts.backends.source.revision }, 'The routing was loaded again by hand.');
    return { status: 200, body: { catalogue: catalogueToWire(parts), correlation_id: context.correlationId } };
  };
