/** GET /v1/usage/entries: the ledger of the tenant, a row a call, newest first. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import { MICRO_USD } from '../budgets/effective-budgets.ts';
import type { UsagePort } from '../ports/usage.ts';
import { usagePeriod } from './usage-period.ts';

export function listUsageEntries(usage: UsagePort): ModelPolicyHandlers['listUsageEntries'] {
  return async ({ query, auth, context }) => {
    const period = query.from === undefined && query.to === undefined ? {} : usagePeriod(query, Date.now());
    const { entries, hasMore } = await usage.entries(auth, {
      ...period, limit: query.limit ?? 50,
      ...(query.model === undefined ? {} : { model: query.model }),
      ...(query.agent_id === undefined ? {} : { agentId: query.agent_id }),
      ...(query.run_id === undefined ? {} : { runId: query.run_id }),
      ...(query.after === undefined ? {} : { before: query.after }),
    });
    return {
      status: 200,
      body: {
        entries: entries.map((entry) => ({
          entry_id: entry.entryId, request_id: entry.requestId, at: new Date(entry.atMs).toISOString(), run_id: entry.runId, agent_id: entry.agentId, principal_id: entry.principalId,
          operation: entry.operation, model: entry.model, backend: entry.backend, input_tokens: entry.inputTokens, output_tokens: entry.outputTokens,
          cost_usd: entry.costMicroUsd === null ? null : entry.costMicroUsd / MICRO_USD, state: entry.state, fallback_used: entry.fallbackUsed, estimated: entry.estimated,
        })),
        has_more: hasMore,
        correlation_id: context.correlationId,
        tenant_id: auth.tenant_id,
      },
    };
  };
}
