/** GET /v1/runs/{run_id}/events: server-sent events from the cursor on (Appendix D.4; C-15, C-16). */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { EventPort } from '../ports/events.ts';
import { openEventStream } from '../events/stream.ts';

export const streamRunEvents = (events: EventPort): AgentOrchestratorHandlers['streamRunEvents'] =>
  async ({ path, query, auth, context }) => {
    const lastEventId = context.headers['last-event-id'];
    const after = query?.after_sequence ?? query?.from_sequence ?? (lastEventId === undefined ? 0 : Number(lastEventId));
    return { status: 200, stream: await openEventStream(events, auth, path.run_id, { after, signal: context.signal }) };
  };
