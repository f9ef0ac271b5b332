/**
 * Has a run done by another node, follows it from this one, and checks what it was promised: that it ran there, for the
 * same tenant, that every event came back once and in order, and that this node executed nothing.
 *
 *     npx agentos up --profile federated && npx tsx examples/federated-run.ts
 */
import assert from 'node:assert/strict';
import { AgentOS, isTerminalEvent, NotFoundError, type Event } from '../sdk/src/index.ts';

const at = (variable: string, fallback: string): string => process.env[variable] ?? fallback;
const nodeA = new AgentOS({
  tenantId: 'tnt_demo',
  endpoints: { agentOrchestrator: at('AGENTOS_AGENT_ORCHESTRATOR_URL', 'http://127.0.0.1:50081'), federation: at('AGENTOS_FEDERATION_URL', 'http://127.0.0.1:50083') },
});
const target = at('TARGET_STACK_ID', 'stk_local_node_b');

const peers = await nodeA.peers.list();
assert.ok(peers.some((peer) => peer.stack_id === target), `${target} is a peer of this node; it knows ${peers.map((peer) => peer.stack_id).join(', ') || 'none'}`);

const forwarded = await nodeA.federation.forward(target, { agent_id: 'agt_sample_echo_v1', input: 'good morning from node A' });
console.log(`${forwarded.remote_run_id} is ${forwarded.status} on ${forwarded.remote_stack_id}`);
assert.equal(forwarded.remote_stack_id, target);
assert.equal(forwarded.tenant_id, 'tnt_demo');

const events: Event[] = [];
for await (const event of nodeA.federation.events(forwarded.remote_run_id)) {
  console.log(String(event.sequence).padStart(3), event.type);
  events.push(event);
}
assert.deepEqual(events.map((event) => event.sequence), events.map((_, index) => index + 1), 'sequences have no gap');
assert.equal(new Set(events.map((event) => event.event_id)).size, events.length, 'every event has an id of its own');
assert.ok(events.every((event) => event.tenant_id === 'tnt_demo' && event.run_id === forwarded.remote_run_id), 'all are of this run and tenant');
assert.ok(isTerminalEvent(events.at(-1)!), 'the last event ends the run');

const done = await nodeA.federation.get(forwarded.remote_run_id);
assert.equal(done.status, 'completed');
assert.match(done.output?.text ?? '', /good morning from node A/);
await assert.rejects(async () => nodeA.runs.get(forwarded.remote_run_id), NotFoundError, 'node A forwards the run and does not execute it');
console.log(`\n${done.output?.text}`);
