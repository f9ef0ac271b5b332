/** GET /v1/admin/canaries: models that are tried out, and how they do in this process. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { Canaries } from '../router/canaries.ts';
import { canaryToWire } from './routing-wire.ts';

export const listCanaries = (canaries: Canaries): ModelPolicyHandlers['listCanaries'] =>
  ({ context }) => ({ status: 200, body: { canaries: canaries.read().map(canaryToWire), correlation_id: context.correlationId } });
