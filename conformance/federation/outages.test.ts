/** What happens to forwarded runs when the node that executes them goes away, and comes back (PRS 7.4). */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AgentOS, type Event } from '../../sdk/src/index.ts';
import { startScriptedPolicy, type ScriptedPolicy } from '../harness/scripted-policy.ts';
import { startTwoNodes, type TwoNodes } from '../harness/two-nodes.ts';
import { verifies } from '../http/verifies.ts';
import { eventsThrough, forward, runsOn, sequencesOf, typesOf, upTo } from './callers.ts';

let nodes: TwoNodes;
let model: ScriptedPolicy;
/** Node B's model answers once this resolves. */
let answer: Promise<string> = Promise.resolve('done');
let tenant: string;
beforeAll(async () => {
  model = await startScriptedPolicy(() => answer);
  nodes = await startTwoNodes({
    env: {
      // A node that restarts is away for seconds, on a busy machine for many: all attempts together take longer.
      a: { AGENTOS_FED_MAX_ATTEMPTS: '16', AGENTOS_FED_BASE_BACKOFF_MS: '100' },
      b: { AGENTOS_MODEL_POLICY_URL: model.url, AGENTOS_LEASE_MS: '1000' },
    },
  });
  tenant = await nodes.tenant();
});
afterAll(async () => {
  await nodes?.close();
  await model?.close();
});
beforeEach(() => nodes.b.start());

/** A model that does not answer before it is told to. */
function held(): (text: string) => void {
  let release: (text: string) => void = () => undefined;
  answer = new Promise((resolve) => { release = resolve; });
  return release;
}

const toB = { stack_id: 'stk_node_b' };
const clientOfA = () => new AgentOS({ endpoints: { federation: nodes.a.urls.federation }, tenantId: tenant });

describe('a node that is away', () => {
  it('is said to be away, and there is no run; asked again when it is back, there is one', verifies(['PRS-7.4-06', 'PRS-7.4-10', 'PRS-7.4-11'], async () => {
    answer = Promise.resolve('done');
    // With few attempts, since all of them are waited for.
    await nodes.a.stop();
    await nodes.a.start({ AGENTOS_FED_MAX_ATTEMPTS: '2' });
    const before = (await runsOn(nodes.b, tenant)).length;
    await nodes.b.stop();
    const ask = () => forward(nodes.a, { tenant, to: toB, run: { idempotency_key: 'idem_while_away' } });
    const away = await ask();
    expect([away.status, away.body.error?.code, away.body.error?.retryable], JSON.stringify(away.body)).toEqual([503, 'dependency_unavailable', true]);
    expect(JSON.stringify(away.body)).toContain('stk_node_b');
    // The node that was asked restarts as well: what it wrote down leads to the same run.
    await nodes.a.stop();
    await nodes.a.start();
    await nodes.b.start();
    expect(await runsOn(nodes.b, tenant)).toHaveLength(before);
    const [first, second] = [await ask(), await ask()];
    expect([first.status, second.status]).toEqual([200, 200]);
    expect(second.body.forwarded.remote_run_id).toBe(first.body.forwarded.remote_run_id);
    expect(await runsOn(nodes.b, tenant)).toHaveLength(before + 1);
    expect((await eventsThrough(nodes.a, first.body.forwarded.remote_run_id as string, { tenant })).ended).toBe(true);
  }), 180_000);

  it('and restarts in the middle of a stream: the stream goes on, every event once', verifies(['PRS-7.3-04', 'PRS-7.4-04', 'PRS-7.4-05', 'PRS-7.1-01'], async () => {
    const release = held();
    const client = clientOfA();
    const { remote_run_id: runId } = await client.federation.forward(toB, { agent_id: 'agt_demo', input: 'hello' });
    const raw = eventsThrough(nodes.a, runId, { tenant, timeoutMs: 45_000 });
    const seen: Event[] = [];
    const reading = (async () => { for await (const event of client.federation.events(runId, { maxReconnects: 30 })) seen.push(event); })();
    await expect.poll(() => seen.length, { timeout: 10_000 }).toBeGreaterThan(2);
    await nodes.b.stop();
    const atStop = seen.length;
    await sleep(500);
    await nodes.b.start();
    release('all of it');
    await reading;
    expect(seen.length).toBeGreaterThan(atStop);
    expect(seen.map((event) => event.sequence)).toEqual(upTo(seen.length));
    expect(new Set(seen.map((event) => event.event_id)).size).toBe(seen.length);
    expect(seen.at(-1)!.type).toBe('agentos.run.completed');
    expect((await client.federation.get(runId)).output?.text).toBe('all of it');
    // Whoever reads by one connection saw no frame twice, however far it came.
    const { frames } = await raw;
    expect(sequencesOf({ ...(await raw), frames })).toEqual(upTo(frames.length));
    const whole = await eventsThrough(nodes.a, runId, { tenant });
    expect(typesOf(whole)).toEqual(seen.map((event) => event.type.replace('agentos.', '')));
  }), 90_000);
});

describe('the SDK over two nodes', () => {
  it('does what it does over one: start, follow, read, cancel, refuse', verifies(['PRS-7.1-01', 'PRS-13-07'], async () => {
    answer = Promise.resolve('a text from node B');
    const client = clientOfA();
    const forwarded = await client.federation.forward({ region: 'region-b' }, { agent_id: 'agt_demo', input: 'hello' }, { idempotencyKey: 'idem_sdk' });
    expect(await client.federation.forward({ region: 'region-b' }, { agent_id: 'agt_demo', input: 'hello' }, { idempotencyKey: 'idem_sdk' })).toMatchObject({ remote_run_id: forwarded.remote_run_id });
    const ended = await client.federation.wait(forwarded.remote_run_id);
    expect(ended).toMatchObject({ status: 'completed', output: { text: 'a text from node B' } });
    await expect(client.federation.cancel(forwarded.remote_run_id)).rejects.toMatchObject({ status: 409, code: 'invalid_state_transition' });
    await expect(client.federation.forward('stk_nobody', { agent_id: 'agt_demo', input: 'hello' })).rejects.toMatchObject({ status: 404, code: 'not_found' });
    const release = held();
    const running = await client.federation.forward('stk_node_b', { agent_id: 'agt_demo', input: 'hello' });
    expect(await client.federation.cancel(running.remote_run_id)).toMatchObject({ status: 'canceled' });
    release('too late');
    const events: string[] = [];
    for await (const event of client.federation.events(running.remote_run_id)) events.push(event.type);
    expect(events.at(-1)).toBe('agentos.run.canceled');
  }), 180_000);
});
