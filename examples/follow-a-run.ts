/**
 * Starts a run on a local node, follows its events to the end, and checks what it was promised.
 *
 *     npx agentos up && npx tsx examples/follow-a-run.ts
 */
import assert from 'node:assert/strict';
import { AgentOS, isTerminalEvent, type Event } from '../sdk/src/index.ts';

const agentos = new AgentOS({ tenantId: 'tnt_demo' });

const run = await agentos.runs.create('agt_sample_echo_v1', 'good morning');
const events: Event[] = [];
for await (const event of agentos.runs.events(run.run_id)) {
  console.log(String(event.sequence).padStart(3), event.type);
  events.push(event);
}

assert.deepEqual(events.map((event) => event.sequence), events.map((_, index) => index + 1), 'sequences have no gap');
assert.equal(new Set(events.map((event) => event.event_id)).size, events.length, 'every event has an id of its own');
assert.ok(isTerminalEvent(events.at(-1)!), 'the last event ends the run');
assert.ok(events.some((event) => event.type === 'agentos.tool.call.completed'), 'the agent called its tool');

const done = await agentos.runs.get(run.run_id);
assert.equal(done.status, 'completed');
assert.match(done.output?.text ?? '', /good morning/);
console.log(`\n${done.output?.text}`);
