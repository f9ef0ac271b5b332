/** POST /v1/admin/routing:reload: reads the configuration again. One that cannot be used is a 409, and changes nothing. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import { PLATFORM_TENANT } from '../../platform/audit/audit-row.ts';
import { recorded, type Recorder } from '../../platform/audit/recorded.ts';
import { catalogueToWire, type RoutingParts } from './routing-wire.ts';

export const reloadRouting = (parts: RoutingParts, recorder: Recorder): ModelPolicyHandlers['reloadRouting'] =>
  async ({ auth, context }) => {
    const facts = { action: 'routing.reload', tenantId: PLATFORM_TENANT, resource: { type: 'routing', id: 'models' }, details: { revision_before: parts.backends.source.revision } };
    await recorded(recorder, auth, facts, () => parts.backends.reload());
    context.log.info({ revision: parts.backends.source.revision }, 'The routing was loaded again by hand.');
    return { status: 200, body: { catalogue: catalogueToWire(parts), correlation_id: context.correlationId } };
  };
