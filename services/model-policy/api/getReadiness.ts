/**
 * GET /readyz: ready while the database answers and at least one backend can serve. Each backend's own state is listed
 * too; one that is down is reported and does not make the service unready, since another may serve in its place.
 */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { Health } from '../../platform/http/health.ts';
import type { BackendHealth } from '../engine/backend-health.ts';

export function getReadiness(health: Health<'model-policy'>, backends: BackendHealth): ModelPolicyHandlers['getReadiness'] {
  return async (request) => {
    const result = await health.readiness(request);
    const states = (await backends.states()).map((state) => ({
      name: `backend:${state.backend}`,
      status: state.ok ? ('ok' as const) : ('unavailable' as const),
      latency_ms: state.latencyMs,
      ...(state.detail === null ? {} : { detail: state.detail }),
    }));
    return { ...result, body: { ...result.body, checks: [...result.body.checks, ...states] } } as typeof result;
  };
}
