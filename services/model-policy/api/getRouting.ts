/** GET /v1/admin/routing: the catalogue that is in effect on this process. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import { catalogueToWire, type RoutingParts } from './routing-wire.ts';

export const getRouting = (parts: RoutingParts): ModelPolicyHandlers['getRouting'] =>
  ({ context }) => ({ status: 200, body: { catalogue: catalogueToWire(parts), correlation_id: context.correlationId } });
