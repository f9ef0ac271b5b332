/** GET /v1/health (C-04): the process answers. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { Health } from '../../platform/http/health.ts';

export function modelPolicyHealth(health: Health<'model-policy'>): ModelPolicyHandlers['modelPolicyHealth'] {
  return health.health;
}
