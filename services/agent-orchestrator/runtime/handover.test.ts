import { describe, expect, it } from 'vitest';
import { createAndStart } from './handover.ts';
import { AUTH, ScriptedModel, agent, newRun, runtime, says, type RuntimeHarness } from './runtime.fixture.ts';
import { systemClock } from './retry.ts';
import { Worker, type WorkerOptions } from './worker.ts';

async function until(look: () => Promise<boolean> | boolean, what: string): Promise<void> {
  for (const end = Date.now() + 5_000; !(await look()); ) {
    if (Date.now() > end) throw new Error(`Still not so: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const completed = (harness: RuntimeHarness, runId: string) => async () => (await harness.runState.getRun(AUTH, runId)).status === 'completed';

/** A worker that has looked at the queue and waits for longer than any test. */
async function idleWorker(harness: RuntimeHarness, options: Partial<WorkerOptions> = {}): Promise<Worker> {
  const worker = new Worker(harness.queue, { ...harness.dependencies, clock: systemClock }, { pollMs: 60_000, concurrency: 2, ...options });
  worker.start();
  await new Promise((resolve) => setTimeout(resolve, 20));
  return worker;
}

/** Of an agent without tools: its first call is known when it is created. */
const plainRun = (overrides: Parameters<typeof newRun>[0] = {}) => newRun({ agent: { ...agent(), tools: [] }, ...overrides });

const start = (harness: RuntimeHarness, worker: Worker, run = plainRun()) => createAndStart({ runState: harness.runState, queue: harness.queue, seats: worker }, AUTH, run);

describe('handing a new run over', () => {
  it('tells the same events as a claim, and asks the model once', async () => {
    const model = new ScriptedModel(says('Hi.'));
    const harness = runtime(model);
    const worker = await idleWorker(harness);
    const result = await start(harness, worker);
    if (result.outcome !== 'created') return expect.fail(result.outcome);
    expect(result.run.status).toBe('queued');
    await until(completed(harness, result.run.runId), 'the run completed');
    expect(await harness.types(result.run.runId)).toEqual([
      'run.created', 'run.started', 'run.step.started', 'model.requested', 'model.completed', 'run.step.completed', 'run.completed',
    ]);
    expect(model.requests).toHaveLength(1);
    expect(await harness.runState.getRun(AUTH, result.run.runId)).toMatchObject({ step: 2, attempts: 1, summary: { stepsTotal: 1, modelCallsTotal: 1 } });
    await worker.stop();
  });

  it('has asked for nothing before the request of the call is stored', async () => {
    const harness = runtime(new ScriptedModel(async (request) => {
      const [run] = (await harness.runState.listRuns(AUTH, { limit: 1 })).runs;
      stored.push(...(await harness.types(run!.runId)));
      expect(request.request_id).toBeDefined();
      return says('Hi.');
    }));
    const stored: string[] = [];
    const worker = await idleWorker(harness);
    const result = await start(harness, worker);
    if (result.outcome !== 'created') return expect.fail(result.outcome);
    await until(completed(harness, result.run.runId), 'the run completed');
    expect(stored).toContain('model.requested');
    await worker.stop();
  });

  it('stores the claim alone where the tools to offer have to be asked for', async () => {
    const harness = runtime(new ScriptedModel(says('Hi.')));
    const worker = await idleWorker(harness);
    const result = await start(harness, worker, newRun());
    if (result.outcome !== 'created') return expect.fail(result.outcome);
    await until(completed(harness, result.run.runId), 'the run completed');
    expect(await harness.runState.getRun(AUTH, result.run.runId)).toMatchObject({ step: 2, attempts: 1, lastSequence: 7 });
    await worker.stop();
  });

  it('queues what finds no slot, and keeps no slot for a run that was refused', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const harness = runtime(new ScriptedModel(async () => held.then(() => says('Hi.'))));
    const worker = await idleWorker(harness);
    const refused = await start(harness, worker, plainRun({ limits: { maxConcurrentRuns: 0, createQps: 100, createBurst: 100 } }));
    expect(refused.outcome).toBe('concurrency_exceeded');
    const results = [await start(harness, worker), await start(harness, worker), await start(harness, worker)];
    const statuses = await Promise.all(results.map(async (result) => ('run' in result ? (await harness.runState.getRun(AUTH, result.run.runId)).status : result.outcome)));
    expect(statuses).toEqual(['running', 'running', 'queued']);
    expect(worker.active).toBe(2);
    release();
    for (const result of results) if ('run' in result) await until(completed(harness, result.run.runId), 'all completed');
    await worker.stop();
  });

  it('keeps no slot for new runs when lost and waiting ones have not been looked for', async () => {
    const harness = runtime(new ScriptedModel(says('Hi.')));
    const worker = new Worker(harness.queue, harness.dependencies, { pollMs: 10 });
    expect(worker.reserve(), 'it has never looked').toBeNull();
    worker.start();
    await until(() => {
      const seat = worker.reserve();
      seat?.free();
      return seat !== null;
    }, 'it has looked');
    await worker.stop();
    expect(worker.reserve(), 'it has stopped').toBeNull();
  });

  it('gives a run back that comes when the worker has stopped', async () => {
    const harness = runtime(new ScriptedModel(says('Hi.')));
    const worker = await idleWorker(harness);
    const seats = {
      reserve: () => {
        const seat = worker.reserve();
        return seat === null ? null : { ...seat, take: async (claimed: Parameters<typeof seat.take>[0]) => { await worker.stop(); await seat.take(claimed); } };
      },
    };
    const result = await createAndStart({ runState: harness.runState, queue: harness.queue, seats }, AUTH, plainRun());
    if (result.outcome !== 'created') return expect.fail(result.outcome);
    expect(await harness.runState.getRun(AUTH, result.run.runId)).toMatchObject({ status: 'queued', step: 1 });
    expect(await harness.queue.depth(worker.identity)).toMatchObject({ queued: 1, running: 0, drift: 0 });
  });

  it('takes over what was handed to a worker that died, from its log', async () => {
    const harness = runtime(new ScriptedModel(says('Second.')));
    const dead = { reserve: () => ({ workerId: 'wrk_dead', leaseMs: 20, take: async () => undefined, free: () => undefined }) };
    const result = await createAndStart({ runState: harness.runState, queue: harness.queue, seats: dead }, AUTH, plainRun());
    if (result.outcome !== 'created') return expect.fail(result.outcome);
    const worker = await idleWorker(harness, { pollMs: 20 });
    await until(completed(harness, result.run.runId), 'another worker completed it');
    expect((await harness.events(result.run.runId)).map((event) => event.sequence)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect((await harness.runState.getRun(AUTH, result.run.runId)).attempts).toBe(2);
    await worker.stop();
  });
});
