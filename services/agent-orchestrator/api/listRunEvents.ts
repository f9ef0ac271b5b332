/** GET /v1/runs/{run_id}/history: the stored events, a page at a time. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import { eventEnvelope } from '../events/envelope.ts';
import type { Runs } from '../runtime/runs.ts';

export const listRunEvents = (runs: Runs): AgentOrchestratorHandlers['listRunEvents'] =>
  async ({ path, query, auth, context }) => {
    const page = await runs.history(auth, path.run_id, { after: query.after_sequence, limit: query.limit });
    const last = page.events.at(-1)?.sequence ?? query.after_sequence;
    return {
      status: 200,
      body: {
        events: page.events.map(eventEnvelope),
        status: page.status,
        last_sequence: page.lastSequence,
        has_more: last < page.lastSequence,
        correlation_id: context.correlationId,
        tenant_id: auth.tenant_id,
      },
    };
  };
