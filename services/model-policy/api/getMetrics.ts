/** GET /metrics (PRS 9.2). */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { Health } from '../../platform/http/health.ts';

export function getMetrics(health: Health<'model-policy'>): ModelPolicyHandlers['getMetrics'] {
  return health.metrics;
}
