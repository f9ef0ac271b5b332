/**
 * GET /readyz: ready while the database answers and at least one backend can serve. Each backend's own state is listed
 * too; one that is down is reported and does not make the service unready, since another may serve in its place. So is a
 * models file that cannot be used, since what was loaded before serves on.
 */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { Health } from '../../platform/http/health.ts';
import type { BackendsSource } from '../backend-set.ts';
import type { BackendHealth } from '../engine/backend-health.ts';

export function getReadiness(health: Health<'model-policy'>, backends: BackendHealth, configured: { readonly source: BackendsSource }): ModelPolicyHandlers['getReadiness'] {
  return async (request) => {
    const result = await health.readiness(request);
    const states = (await backends.states()).map((state) => ({
      name: `backend:${state.backend}`,
      status: state.ok ? ('ok' as const) : ('unavailable' as const),
      latency_ms: state.latencyMs,
      ...(state.reason === null ? {} : { detail: state.reason }),
    }));
    const { source } = configured;
    const file = source.kind !== 'file' ? [] : [{ name: 'models_file', status: source.error === null ? ('ok' as const) : ('unavailable' as const), ...(source.error === null ? {} : { detail: 'failed' as const }) }];
    return { ...result, body: { ...result.body, checks: [...result.body.checks, ...states, ...file] } } as typeof result;
  };
}
