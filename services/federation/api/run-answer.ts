/** A run of any node as this one answers it: with every member that the contract promises, and its events where they can be read. */
import type { Run, RunAnswer } from '../../../generated/types/index.ts';
import type { RequestContext } from '../../platform/http/operation-types.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';

const NO_STEPS = { steps_total: 0, tool_calls_total: 0, model_calls_total: 0 };

export function runAnswer(run: Run, auth: AuthContext, { correlationId }: Pick<RequestContext, 'correlationId'>): RunAnswer {
  const { started_at = null, completed_at = null, output = null, error = null, run_options = {}, summary = NO_STEPS, correlation_id = correlationId } = run;
  return {
    run: { ...run, started_at, completed_at, output, error, run_options, summary, correlation_id, events_url: `/v1/federation/runs/${encodeURIComponent(run.run_id)}/events` },
    correlation_id: correlationId,
    tenant_id: auth.tenant_id,
  };
}
