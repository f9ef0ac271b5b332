/** How callers of two nodes act in these scenarios. */
import { call, readEvents, type Answer, type Call, type Json, type StreamReading } from '../harness/client.ts';
import type { FederatedNode } from '../harness/two-nodes.ts';

export interface Forward {
  readonly tenant: string;
  readonly to: Json;
  readonly agentId?: string;
  readonly input?: Json;
  /** On top of the run request. */
  readonly run?: Readonly<Record<string, unknown>>;
  readonly auth?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Asks a node to forward a run, as a caller of it would. */
export function forward(node: FederatedNode, { tenant, to, agentId = 'agt_demo', input = 'hello', run = {}, auth = {}, headers = {} }: Forward): Promise<Answer> {
  const body = { forward: { target_selector: to, auth: { tenant_id: tenant, ...auth }, run_request: { agent_id: agentId, input, ...run } } };
  return call(node.urls.federation, '/v1/federation/runs:forward', { tenant, body, headers });
}

/** Its events, through the node that was asked. */
export const eventsThrough = (node: FederatedNode, runId: string, options: Parameters<typeof readEvents>[2] & { readonly query?: string } = {}): Promise<StreamReading> =>
  readEvents(node.urls.federation, `/v1/federation/runs/${runId}/events${options.query ?? ''}`, options);

export const orchestratorOf = (node: FederatedNode, path: string, options: Call): Promise<Answer> => call(node.urls['agent-orchestrator'], path, options);

/** Audit records of a tenant with this action, newest first. */
export async function auditOf(node: FederatedNode, tenant: string, action: string): Promise<readonly Json[]> {
  const answer = await orchestratorOf(node, `/v1/audit?action=${action}&limit=100`, { tenant, headers: { 'x-scopes': 'audit:read' } });
  if (answer.status !== 200) throw new Error(`The audit answered ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body.records as Json[];
}

/** Runs that a node executes for a tenant. */
export async function runsOn(node: FederatedNode, tenant: string): Promise<readonly Json[]> {
  return (await orchestratorOf(node, '/v1/runs?limit=200', { tenant })).body.runs as Json[];
}

export const typesOf = (reading: StreamReading): readonly string[] => reading.frames.map((frame) => (frame.data.event.type as string).replace('agentos.', ''));
export const sequencesOf = (reading: StreamReading): readonly number[] => reading.frames.map((frame) => frame.data.event.sequence as number);
export const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1);
