/** What belongs to one tenant, by the calls that would reach it; another tenant is answered as if it were not there. */
export interface TenantObject {
  readonly name: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** `{id}` is the object, or one that there is not. */
  readonly path: string;
  readonly kind: 'run' | 'agent' | 'memory';
  /** `{id}` as in the path. */
  readonly body?: unknown;
}

export const tenantObjects: readonly TenantObject[] = [
  { name: 'a run', method: 'GET', path: '/v1/runs/{id}', kind: 'run' },
  { name: 'the stream of a run', method: 'GET', path: '/v1/runs/{id}/events', kind: 'run' },
  { name: 'canceling a run', method: 'POST', path: '/v1/runs/{id}:cancel', kind: 'run' },
  { name: 'canceling a run by its path', method: 'POST', path: '/v1/runs/{id}/cancel', kind: 'run' },
  { name: 'retrying a run', method: 'POST', path: '/v1/runs/{id}:retry', kind: 'run', body: {} },
  { name: 'replaying a run', method: 'POST', path: '/v1/runs/{id}:replay', kind: 'run' },
  { name: 'an agent', method: 'GET', path: '/v1/agents/{id}', kind: 'agent' },
  { name: 'changing an agent', method: 'PUT', path: '/v1/agents/{id}', kind: 'agent', body: { agent_id: '{id}', name: 'Taken', model_ref: 'tier:balanced' } },
  { name: 'deleting an agent', method: 'DELETE', path: '/v1/agents/{id}', kind: 'agent' },
  { name: 'running an agent', method: 'POST', path: '/v1/agents/{id}/runs', kind: 'agent', body: { input: 'hello', idempotency_key: 'idem_1' } },
  { name: 'a memory', method: 'GET', path: '/v1/memory/notes/items/{id}', kind: 'memory' },
  { name: 'deleting a memory', method: 'DELETE', path: '/v1/memory/notes/items/{id}', kind: 'memory' },
];
