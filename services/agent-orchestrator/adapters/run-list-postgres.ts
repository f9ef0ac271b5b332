/**
 * Listing runs: one statement text a combination of filters, so that each has a plan of its own, and each walks an
 * index in the order of the answer or over few rows:
 *
 * - a parent: its children by `run_facets_facet`, and each of them by key, in this order whatever the planner thinks:
 *   statistics know facets on average, labels of a third of all runs among them, and a parent has few children;
 * - a label: `run_facets_facet`, further facets by key;
 * - an agent: `runs_tenant_agent`; failed or canceled: the partial index of that end;
 * - queued or running: the partial indexes of the queue, which hold no run that has ended;
 * - nothing: the primary key, whose run ids follow the time of creation.
 *
 * Statuses stand in the text because a partial index is only used where the text itself says that it may be. Queued is
 * said in the words of `runs_tenant_waiting`: by its status the queue of all tenants would be found as well.
 */
import type { ListRunsQuery, RunStatus } from '../ports/run-state.ts';
import { runIdAt } from '../runtime/child-id.ts';
import type { Statement } from './postgres-read.ts';
import { labelFacet, parentFacet } from './run-facets.ts';
import { PRIORITY_LEVEL, RUN_COLUMNS } from './run-rows.ts';
import { timestampMs } from '../../platform/timestamp.ts';

/** A child's id carries the time at which its parent started, at most this much before its own creation. */
const ID_SLACK_MS = 2 * 3_600_000;

const BY_PLAN = 'JOIN orchestrator.runs r ON r.tenant_id = f0.tenant_id AND r.run_id = f0.run_id';
/** OFFSET 0 keeps the order: one probe of each run. */
const BY_KEY = 'CROSS JOIN LATERAL (SELECT * FROM orchestrator.runs r WHERE r.tenant_id = f0.tenant_id AND r.run_id = f0.run_id OFFSET 0) r';
const WAITING = 'r.lease_token IS NULL AND r.completed_at IS NULL';

interface Conditions {
  readonly texts: string[];
  readonly values: unknown[];
  readonly names: string[];
}

/** The statement and its values for one page and one row more. */
export function listRunsStatement(tenantId: string, query: ListRunsQuery): { readonly statement: Statement; readonly values: readonly unknown[] } {
  const found: Conditions = { texts: ['r.tenant_id = $1'], values: [tenantId], names: [] };
  const facets = facetsOf(query);
  const order = query.order === 'oldest' ? 'ASC' : 'DESC';
  const id = facets.length === 0 ? 'r.run_id' : 'f0.run_id';
  const add = (name: string, text: (place: string) => string, value: unknown): void => {
    found.values.push(value);
    found.names.push(name);
    found.texts.push(text(`$${found.values.length}`));
  };
  for (const [index, facet] of facets.entries()) {
    add(index === 0 && query.parentRunId !== undefined ? 'k' : 'f', (place) => (index === 0 ? `f0.tenant_id = $1 AND f0.facet = ${place}` : `EXISTS (SELECT FROM orchestrator.run_facets f WHERE f.tenant_id = r.tenant_id AND f.run_id = r.run_id AND f.facet = ${place})`), facet);
  }
  if (query.agentId !== undefined) add('a', (place) => `r.agent_id = ${place}`, query.agentId);
  if (query.priority !== undefined) add('p', (place) => `r.priority = ${place}::smallint`, PRIORITY_LEVEL[query.priority]);
  if (query.after !== undefined) add('c', (place) => `${id} ${order === 'ASC' ? '>' : '<'} ${place}`, query.after);
  addTimes(query, id, add);
  const statuses = statusesOf(query);
  if (statuses !== null) {
    found.names.push(`s${statuses.join('')}`);
    found.texts.push(statuses.length > 1 ? `r.status IN (${statuses.map((status) => `'${status}'`).join(', ')})` : statuses[0] === 'queued' ? WAITING : `r.status = '${statuses[0]}'`);
  }
  const source = facets.length === 0 ? 'orchestrator.runs r' : `orchestrator.run_facets f0 ${query.parentRunId === undefined ? BY_PLAN : BY_KEY}`;
  found.values.push(query.limit + 1);
  return {
    statement: {
      name: `ao_list_runs_${order}_${found.names.join('')}`,
      text: `SELECT ${RUN_COLUMNS} FROM ${source} WHERE ${found.texts.join(' AND ')} ORDER BY ${id} ${order} LIMIT $${found.values.length}`,
    },
    values: found.values,
  };
}

/** The time of creation decides; the bounds on the id only keep the walk short. */
function addTimes({ createdAfter, createdBefore }: ListRunsQuery, id: string, add: (name: string, text: (place: string) => string, value: unknown) => void): void {
  if (createdAfter !== undefined) {
    add('t', (place) => `r.created_at >= ${place}::timestamptz`, createdAfter);
    add('', (place) => `${id} >= ${place}`, runIdAt(timestampMs(createdAfter) - ID_SLACK_MS));
  }
  if (createdBefore !== undefined) {
    add('b', (place) => `r.created_at < ${place}::timestamptz`, createdBefore);
    add('', (place) => `${id} < ${place}`, runIdAt(timestampMs(createdBefore) + 60_000));
  }
}

function facetsOf({ labels, parentRunId }: ListRunsQuery): readonly string[] {
  const facets = Object.entries(labels ?? {}).map(([key, value]) => labelFacet(key, value));
  // A parent has few children, so it comes first: the walk then is over those.
  return parentRunId === undefined ? facets : [parentFacet(parentRunId), ...facets];
}

function statusesOf({ status }: ListRunsQuery): readonly RunStatus[] | null {
  if (status === undefined) return null;
  return [...new Set([status].flat() as RunStatus[])].sort();
}
