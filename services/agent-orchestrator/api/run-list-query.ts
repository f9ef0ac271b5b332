/** Filters of the run lists as they come over the wire → the port's query. */
import { momentOf } from '../../platform/timestamp.ts';
import type { ListRunsQuery, RunPriority, RunStatus } from '../ports/run-state.ts';

export interface WireRunListQuery {
  readonly limit: number;
  readonly after?: string | undefined;
  readonly status?: RunStatus | readonly RunStatus[] | undefined;
  readonly agent_id?: string | undefined;
  /** `key:value` each. */
  readonly label?: readonly string[] | undefined;
  readonly created_after?: string | undefined;
  readonly created_before?: string | undefined;
  readonly parent_run_id?: string | undefined;
  readonly priority?: RunPriority | undefined;
  readonly order?: 'newest' | 'oldest' | undefined;
}

/**
 * null when no run can match: two values are asked of one label.
 * @throws AgentOsError invalid_request for a day that is not in the calendar.
 */
export function runListQuery(query: WireRunListQuery): ListRunsQuery | null {
  const labels = labelsOf(query.label ?? []);
  if (labels === null) return null;
  const { limit, after, status, agent_id: agentId, created_after: createdAfter, created_before: createdBefore, parent_run_id: parentRunId, priority, order } = query;
  return {
    limit,
    ...(after === undefined ? {} : { after }),
    ...(status === undefined ? {} : { status }),
    ...(agentId === undefined ? {} : { agentId }),
    ...(createdAfter === undefined ? {} : { createdAfter: momentOf(createdAfter, '/query/created_after') }),
    ...(createdBefore === undefined ? {} : { createdBefore: momentOf(createdBefore, '/query/created_before') }),
    ...(parentRunId === undefined ? {} : { parentRunId }),
    ...(priority === undefined ? {} : { priority }),
    ...(order === undefined ? {} : { order }),
    ...(query.label === undefined ? {} : { labels }),
  };
}

function labelsOf(pairs: readonly string[]): Readonly<Record<string, string>> | null {
  const labels = new Map<string, string>();
  for (const pair of pairs) {
    const colon = pair.indexOf(':');
    const [key, value] = [pair.slice(0, colon), pair.slice(colon + 1)];
    if ((labels.get(key) ?? value) !== value) return null;
    labels.set(key, value);
  }
  return Object.fromEntries(labels);
}
