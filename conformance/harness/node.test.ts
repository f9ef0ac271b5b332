import { describe, expect, it } from 'vitest';
import { call, untilEnded } from './client.ts';
import { watchHandles } from './leaks.ts';
import { startNode } from './node.ts';

describe('a node in one process', () => {
  it('starts, works, and leaves neither a connection nor a handle behind', async () => {
    const opened = watchHandles();
    const node = await startNode();
    const made = await call(node.urls['agent-orchestrator'], '/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'hello' }, headers: { connection: 'close' } });
    expect(made.status).toBe(201);
    expect((await untilEnded(node.urls['agent-orchestrator'], made.body.run.run_id as string)).status).toBe('completed');
    await node.close();
    await opened.expectClosed();
  });

  it('closes while a stream is open and while runs are under way', async () => {
    const opened = watchHandles();
    const node = await startNode();
    const ao = node.urls['agent-orchestrator'];
    const made = await Promise.all(Array.from({ length: 20 }, () => call(ao, '/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'hello' } })));
    const stream = fetch(`${ao}${made[0]!.body.run.events_url}`, { headers: { 'x-tenant-id': 'tnt_demo' } }).then((answer) => answer.text()).catch(() => 'broken off');
    await node.close();
    await stream;
    await opened.expectClosed();
  });

  it('says why it did not start', async () => {
    await expect(startNode({ env: { AGENTOS_HOST: '0.0.0.0' } })).rejects.toThrow(/demo mode/);
  });
});
