/** Changes to the real contract, as data: what each breaks, or that it only adds. */
import { addSchema, type Draft, editSchema, type Loose, moveOperation, operation, removeOperation } from './draft.ts';

export interface Mutation {
  readonly name: string;
  readonly change: (draft: Draft) => void;
}
export interface BreakingMutation extends Mutation {
  /** What the gate has to name: an operation, schema, error code or event type. */
  readonly names: string;
}

const without = (list: string[], value: string): string[] => list.filter((entry) => entry !== value);
const eventCondition = (type: string, payload: object): object => ({
  if: { type: 'object', properties: { type: { const: type } }, required: ['type'] },
  then: { type: 'object', properties: { payload } },
});
const parameterNamed = (draft: Draft, id: string, name: string): Loose => {
  const { parameters } = operation(draft, id);
  return { parameters, index: parameters.findIndex((entry: Loose) => String(entry.$ref ?? entry.name).endsWith(name)) };
};
const removeParameter = (draft: Draft, id: string, name: string): void => {
  const { parameters, index } = parameterNamed(draft, id, name);
  if (index < 0) throw new Error(`${id} has no parameter ${name} to remove; adapt this test.`);
  parameters.splice(index, 1);
};

export const breaking: readonly BreakingMutation[] = [
  { name: 'a member of an answer is removed', names: 'schema RunEmitted', change: (d) => editSchema(d, 'RunEmitted', (s) => { delete s.properties.events_url; s.required = without(s.required, 'events_url'); }) },
  { name: 'a member of an answer is renamed', names: 'schema RunEmitted', change: (d) => editSchema(d, 'RunEmitted', (s) => { s.properties.result = s.properties.output; delete s.properties.output; s.required = [...without(s.required, 'output'), 'result']; }) },
  { name: 'an optional member of a request is renamed', names: 'schema RunOptions', change: (d) => editSchema(d, 'RunOptions', (s) => { s.properties.deadline_ms = s.properties.timeout_ms; delete s.properties.timeout_ms; }) },
  { name: 'a member of an answer is no longer required', names: 'schema RunEmitted', change: (d) => editSchema(d, 'RunEmitted', (s) => { s.required = without(s.required, 'summary'); }) },
  { name: 'a member of a request becomes required', names: 'schema RunCreateRequest', change: (d) => editSchema(d, 'RunCreateRequest', (s) => { s.required.push('context'); }) },
  { name: 'a new member of a request is required', names: 'schema RunCreateRequest', change: (d) => editSchema(d, 'RunCreateRequest', (s) => { s.properties.region = { type: 'string' }; s.required.push('region'); }) },
  { name: 'a type changes', names: 'schema RunOptions', change: (d) => editSchema(d, 'RunOptions', (s) => { s.properties.timeout_ms.type = 'string'; }) },
  { name: 'a number becomes an integer', names: 'schema TokenBudget', change: (d) => editSchema(d, 'TokenBudget', (s) => { s.properties.max_cost_usd.type = 'integer'; }) },
  { name: 'an answer may now be null', names: 'schema RunEmitted', change: (d) => editSchema(d, 'RunEmitted', (s) => { s.properties.events_url.type = ['string', 'null']; }) },
  { name: 'a value of a request is refused now', names: 'schema RunOptions', change: (d) => editSchema(d, 'RunOptions', (s) => { s.properties.priority.enum = without(s.properties.priority.enum, 'high'); }) },
  { name: 'a closed list of an answer gets a value', names: 'schema RunStatus', change: (d) => editSchema(d, 'RunStatus', (s) => { s.enum.push('paused'); }) },
  { name: 'an open text gets a closed list', names: 'schema RunOptions', change: (d) => editSchema(d, 'RunOptions', (s) => { s.properties.model_tier.enum = ['fast', 'balanced']; }) },
  { name: 'a minimum rises', names: 'schema RunOptions', change: (d) => editSchema(d, 'RunOptions', (s) => { s.properties.timeout_ms.minimum = 1000; }) },
  { name: 'a maximum falls', names: 'schema RunOptions', change: (d) => editSchema(d, 'RunOptions', (s) => { s.properties.max_steps.maximum = 10; }) },
  { name: 'a text must be shorter', names: 'schema RunCreateRequest', change: (d) => editSchema(d, 'RunCreateRequest', (s) => { s.properties.idempotency_key.maxLength = 64; }) },
  { name: 'an answer may leave the range it promised', names: 'schema RunOptions', change: (d) => editSchema(d, 'RunOptions', (s) => { s.properties.max_steps.maximum = 5000; }) },
  { name: 'a text must match a pattern', names: 'schema RunOptions', change: (d) => editSchema(d, 'RunOptions', (s) => { s.properties.model_tier.pattern = '^[a-z]+$'; }) },
  { name: 'unknown members are refused', names: 'schema RunContext', change: (d) => editSchema(d, 'RunContext', (s) => { s.additionalProperties = false; }) },
  { name: 'one form of a request is refused', names: 'schema RunInputWire', change: (d) => editSchema(d, 'RunInputWire', (s) => { s.anyOf = s.anyOf.filter((branch: Loose) => branch.type !== 'string'); }) },
  { name: 'a schema outside OpenAPI is removed', names: 'schema SeedOutputs', change: (d) => { delete d.schemas['SeedOutputs']; } },
  { name: 'a member of an event payload is removed', names: 'schema RunCompletedPayload', change: (d) => editSchema(d, 'RunCompletedPayload', (s) => { delete s.properties.output; s.required = without(s.required, 'output'); }) },
  { name: 'an existing event type gets a further condition', names: 'schema EventEnvelope', change: (d) => editSchema(d, 'EventEnvelope', (s) => { s.properties.event.allOf.push({ if: { properties: { type: { const: 'agentos.run.created' } }, required: ['type', 'agent_id'] }, then: { required: ['step_id'] } }); }) },
  { name: 'an event type loses its payload schema', names: 'schema EventEnvelope', change: (d) => editSchema(d, 'EventEnvelope', (s) => { s.properties.event.allOf = s.properties.event.allOf.filter((branch: Loose) => branch.if?.properties.type.const !== 'agentos.run.failed'); }) },
  { name: 'an event type is removed', names: 'event type agentos.run.step.started', change: (d) => { d.eventTypes = d.eventTypes.filter((row) => row.type !== 'agentos.run.step.started'); } },
  { name: 'an event type does not end the run any more', names: 'event type agentos.run.failed', change: (d) => { d.eventTypes.find((row) => row.type === 'agentos.run.failed').terminal = false; } },
  { name: 'a scope is removed', names: 'scope runs:cancel', change: (d) => { delete d.access.scopes['runs:cancel']; } },
  { name: 'a scope of a tenant reaches further', names: 'scope runs:read', change: (d) => { d.access.scopes['runs:read'].platform = true; } },
  { name: 'a coarser scope stands for less', names: 'scope runs:write', change: (d) => { d.access.aliases['runs:write'].pop(); } },
  { name: 'a role is removed', names: 'role tenant_service', change: (d) => { delete d.access.roles['tenant_service']; } },
  { name: 'a role loses a scope', names: 'role tenant_user', change: (d) => { d.access.roles['tenant_user'].scopes.shift(); } },
  { name: 'a role loses its other name', names: 'role platform_operator', change: (d) => { d.access.roles['platform_operator'].aliases = []; } },
  { name: 'an error code is removed', names: 'error code policy_blocked', change: (d) => { delete d.errorCodes['policy_blocked']; } },
  { name: 'an error code gets another status', names: 'error code conflict', change: (d) => { d.errorCodes['conflict'] = { ...d.errorCodes['conflict'], status: 400, statuses: [400] }; } },
  { name: 'an operation is removed', names: 'cancelRun', change: (d) => removeOperation(d, 'cancelRun') },
  { name: 'an operation gets another path', names: 'streamRunEvents', change: (d) => moveOperation(d, 'streamRunEvents', '/v1/runs/{run_id}/timeline') },
  { name: 'an operation gets another operationId', names: 'getRun', change: (d) => { operation(d, 'getRun').operationId = 'readRun'; } },
  { name: 'an operation needs a further scope', names: 'getRun', change: (d) => { operation(d, 'getRun')['x-agentos-scopes'].push('runs:inspect'); } },
  { name: 'an operation forgets its idempotency key', names: 'createRun', change: (d) => { operation(d, 'createRun')['x-agentos-idempotency'] = 'natural'; } },
  { name: 'a served operation becomes planned', names: 'createRun', change: (d) => { operation(d, 'createRun')['x-agentos-status'] = 'planned'; } },
  { name: 'a query parameter is removed', names: 'streamRunEvents', change: (d) => removeParameter(d, 'streamRunEvents', 'AfterSequence') },
  { name: 'a new query parameter is required', names: 'listRuns', change: (d) => { operation(d, 'listRuns').parameters.push({ name: 'region', in: 'query', required: true, schema: { type: 'string' } }); } },
  { name: 'a query parameter may not be repeated any more', names: 'listRuns', change: (d) => { const { RunStatusFilter: found } = d.openapi['agent-orchestrator'].components.parameters; found.schema = found.schema.anyOf[0]; } },
  { name: 'an answer is removed', names: 'createRun', change: (d) => { delete operation(d, 'createRun').responses['201']; } },
  { name: 'a request body becomes required', names: 'cancelRun', change: (d) => { operation(d, 'cancelRun').requestBody = { required: true, content: { 'application/json': { schema: { type: 'object' } } } }; } },
  { name: 'a stream carries something else', names: 'streamRunEvents', change: (d) => { d.openapi['agent-orchestrator'].components.responses.EventStream.content['text/event-stream']['x-agentos-event-schema'] = 'Event'; } },
];

const newPayload = { type: 'object', properties: { reason: { type: 'string' } } };

export const additive: readonly Mutation[] = [
  { name: 'an optional member of a request', change: (d) => editSchema(d, 'RunCreateRequest', (s) => { s.properties.note = { type: 'string', maxLength: 1000 }; }) },
  { name: 'a member of an answer', change: (d) => editSchema(d, 'RunEmitted', (s) => { s.properties.cost_usd = { type: 'number' }; }) },
  { name: 'a member of an answer that is always sent', change: (d) => editSchema(d, 'RunList', (s) => { s.properties.total = { type: 'integer' }; s.required.push('total'); }) },
  { name: 'a new schema', change: (d) => addSchema(d, 'Invoice', { type: 'object', required: ['number'], properties: { number: { type: 'string' } } }) },
  { name: 'a new operation', change: (d) => { const copy = structuredClone(operation(d, 'getRun')); copy.operationId = 'getRunSummary'; d.openapi['agent-orchestrator'].paths['/v1/runs/{run_id}/summary'] = { get: copy }; } },
  { name: 'an optional query parameter', change: (d) => { operation(d, 'listRuns').parameters.push({ name: 'region', in: 'query', required: false, schema: { type: 'string' } }); } },
  { name: 'a query parameter that may be repeated', change: (d) => { const { RunPriorityFilter: found } = d.openapi['agent-orchestrator'].components.parameters; found.schema = { anyOf: [found.schema, { type: 'array', items: found.schema }] }; } },
  { name: 'a further error answer', change: (d) => { operation(d, 'getRun').responses['504'] = structuredClone(operation(d, 'getRun').responses['503']); } },
  { name: 'a new scope and a role that has it', change: (d) => { d.access.scopes['flows:read'] = { platform: false, description: 'Read flows.' }; d.access.roles['tenant_user'].scopes.push('flows:read'); } },
  { name: 'a new error code', change: (d) => { d.errorCodes['peer_unreachable'] = { status: 503, statuses: [503], retryable: true, meaning: 'A peer does not answer.' }; } },
  { name: 'a further status of an error code', change: (d) => { d.errorCodes['timeout'].statuses.push(408); } },
  { name: 'a new event type with its payload', change: (d) => {
    addSchema(d, 'RunPausedPayload', newPayload);
    d.eventTypes.push({ type: 'agentos.run.paused', payload: 'events/run-paused-payload.schema.json', short_name: 'run.paused', required: false, appendix: null, terminal: false, description: 'The run waits.' });
    editSchema(d, 'EventEnvelope', (s) => { s.properties.event.allOf.push(eventCondition('agentos.run.paused', { $ref: '#/components/schemas/RunPausedPayload' })); });
  } },
  { name: 'an optional member of an event payload', change: (d) => editSchema(d, 'RunFailedPayload', (s) => { s.properties.attempts = { type: 'integer' }; }) },
  { name: 'a longer text of a request', change: (d) => editSchema(d, 'RunCreateRequest', (s) => { s.properties.idempotency_key.maxLength = 512; }) },
  { name: 'a further form of a request', change: (d) => editSchema(d, 'RunInputWire', (s) => { s.anyOf.push({ type: 'array', items: { type: 'string' } }); }) },
  { name: 'a member that requests need not send any more', change: (d) => editSchema(d, 'ModelInvokeCanonical', (s) => { s.required = []; }) },
  { name: 'descriptions and examples', change: (d) => { editSchema(d, 'RunEmitted', (s) => { s.description = 'Other words.'; delete s.examples; }); operation(d, 'getRun').summary = 'Other words'; } },
  { name: 'a planned operation is built', change: (d) => { const node = operation(d, 'createAgent'); delete node['x-agentos-status']; delete node.responses['501']; } },
  { name: 'an operation needs a scope less', change: (d) => { operation(d, 'listAgents')['x-agentos-scopes'] = []; } },
  { name: 'a second path of an operation', change: (d) => { const copy = structuredClone(operation(d, 'cancelRun')); copy.operationId = 'cancelRunByPath'; copy['x-agentos-alias-of'] = 'cancelRun'; d.openapi['agent-orchestrator'].paths['/v1/runs/{run_id}/cancel'] = { post: copy }; } },
  { name: 'a further header of an answer', change: (d) => { d.openapi['agent-orchestrator'].components.responses.Run.headers['ETag'] = { schema: { type: 'string' } }; } },
];
