import { describe, expect, it } from 'vitest';
import { AgentOsError } from '../../platform/errors.ts';
import type { QueuePort } from '../ports/queue.ts';
import { runCanceled } from '../events/drafts.ts';
import { systemClock } from './retry.ts';
import { AUTH, ScriptedModel, runtime, says, type RuntimeHarness } from './runtime.fixture.ts';
import { Worker, type WorkerOptions } from './worker.ts';

const QUICK: Partial<WorkerOptions> = { leaseMs: 300, heartbeatMs: 50, pollMs: 50, releaseDelayMs: 0, concurrency: 4 };

async function until<T>(look: () => Promise<T | false> | T | false, what: string): Promise<T> {
  for (const end = Date.now() + 5_000; ; ) {
    const found = await look();
    if (found !== false) return found;
    if (Date.now() > end) throw new Error(`Still not so: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const status = async (harness: RuntimeHarness, runId: string) => (await harness.runState.getRun(AUTH, runId)).status;

function workerOf(harness: RuntimeHarness, options: Partial<WorkerOptions> = {}, queue: QueuePort = harness.queue): Worker {
  return new Worker(queue, { ...harness.dependencies, clock: systemClock }, { ...QUICK, ...options });
}

describe('a worker', () => {
  it('takes runs up at once and executes them to their end', async () => {
    const harness = runtime(new ScriptedModel(says('Hi.')));
    const worker = workerOf(harness, { pollMs: 60_000 });
    worker.start();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const ids = await Promise.all(Array.from({ length: 20 }, () => harness.create()));
    await until(async () => (await Promise.all(ids.map((id) => status(harness, id)))).every((each) => each === 'completed'), 'all runs completed');
    await worker.stop();
    expect(await harness.queue.depth(worker.identity)).toEqual({ queued: 0, running: 0, drift: 0 });
  });

  it('never executes more than its slots', async () => {
    let now = 0;
    let most = 0;
    const model = new ScriptedModel(async () => {
      most = Math.max(most, (now += 1));
      await new Promise((resolve) => setTimeout(resolve, 20));
      now -= 1;
      return says('Hi.');
    });
    const harness = runtime(model);
    const ids = await Promise.all(Array.from({ length: 12 }, () => harness.create()));
    const worker = workerOf(harness, { concurrency: 3 });
    worker.start();
    await until(async () => (await Promise.all(ids.map((id) => status(harness, id)))).every((each) => each === 'completed'), 'all runs completed');
    await worker.stop();
    expect(most).toBe(3);
  });

  it('keeps its leases while a call takes longer than they last', async () => {
    const harness = runtime(new ScriptedModel(() => new Promise((resolve) => setTimeout(() => resolve(says('Slow.')), 700))));
    const runId = await harness.create();
    const worker = workerOf(harness);
    worker.start();
    const thief = workerOf(harness);
    thief.start();
    await until(async () => (await status(harness, runId)) === 'completed', 'the run completed');
    expect((await harness.runState.getRun(AUTH, runId)).attempts).toBe(1);
    await Promise.all([worker.stop(), thief.stop()]);
  });

  it('gives its runs back when it stops, and another worker completes them', async () => {
    let calls = 0;
    const model = new ScriptedModel((_request, { signal }) => {
      calls += 1;
      if (calls > 1) return Promise.resolve(says('Second.'));
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    });
    const harness = runtime(model);
    const runId = await harness.create();
    const first = workerOf(harness, { leaseMs: 60_000 });
    first.start();
    await until(() => calls === 1, 'the first worker calls the model');
    await first.stop();
    expect(await status(harness, runId)).toBe('queued');
    const second = workerOf(harness);
    second.start();
    await until(async () => (await status(harness, runId)) === 'completed', 'the second worker completed it');
    await second.stop();
    expect((await harness.events(runId)).map((event) => event.sequence)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('lets what is nearly done finish when it is given time', async () => {
    const harness = runtime(new ScriptedModel(() => new Promise((resolve) => setTimeout(() => resolve(says('Done.')), 100))));
    const runId = await harness.create();
    const worker = workerOf(harness);
    worker.start();
    await until(() => worker.active === 1, 'the run is claimed');
    await worker.stop(2_000);
    expect(await status(harness, runId)).toBe('completed');
  });

  it('abandons a canceled run at once', async () => {
    let aborted = false;
    const harness = runtime(new ScriptedModel((_request, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => { aborted = true; reject(new Error('aborted')); }))));
    const runId = await harness.create();
    const worker = workerOf(harness, { heartbeatMs: 60_000, leaseMs: 60_000 });
    worker.start();
    await until(() => worker.active === 1, 'the run is claimed');
    await harness.runState.cancelRun(AUTH, runId, runCanceled(runId, 'usr_test'));
    worker.abandon(AUTH.tenant_id, runId);
    await until(() => aborted && worker.active === 0, 'the call is abandoned');
    await worker.stop();
  });

  it('learns of a cancel in another process by its heartbeat', async () => {
    const harness = runtime(new ScriptedModel((_request, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))))));
    const runId = await harness.create();
    const worker = workerOf(harness);
    worker.start();
    await until(() => worker.active === 1, 'the run is claimed');
    await harness.runState.cancelRun(AUTH, runId, runCanceled(runId, 'usr_test'));
    await until(() => worker.active === 0, 'the run is abandoned');
    await worker.stop();
    expect(await status(harness, runId)).toBe('canceled');
  });

  it('abandons a run at once when it hears that another process canceled it, long before its next heartbeat', async () => {
    const harness = runtime(new ScriptedModel((_request, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))))));
    const runId = await harness.create();
    let tell: (tenantId: string, runId: string, lastSequence: number) => void = () => undefined;
    const queue: QueuePort = Object.assign(harness.queue, { onWrittenElsewhere: (listener: typeof tell) => ((tell = listener), () => (tell = () => undefined)) });
    const worker = workerOf(harness, { heartbeatMs: 60_000, leaseMs: 600_000 }, queue);
    worker.start();
    await until(() => worker.active === 1, 'the run is claimed');
    tell(AUTH.tenant_id, runId, 1);
    const canceled = await harness.runState.cancelRun(AUTH, runId, runCanceled(runId, 'usr_test'));
    expect(worker.active, 'news of what it knows changes nothing').toBe(1);
    tell(AUTH.tenant_id, runId, canceled.lastSequence);
    await until(() => worker.active === 0, 'the run is abandoned');
    await worker.stop();
  });

  it('goes on claiming after the store was away', async () => {
    const harness = runtime(new ScriptedModel(says('Hi.')));
    let away = 3;
    const flaky: QueuePort = {
      capabilities: () => harness.queue.capabilities(),
      enqueue: (auth, runId) => harness.queue.enqueue(auth, runId),
      async claim(worker, options) {
        if (away > 0) {
          away -= 1;
          throw new AgentOsError('dependency_unavailable', { message: 'The database is away.' });
        }
        return harness.queue.claim(worker, options);
      },
      waitForWork: (maxWaitMs, signal) => harness.queue.waitForWork(maxWaitMs, signal),
      heartbeat: (worker, leases, leaseMs) => harness.queue.heartbeat(worker, leases, leaseMs),
      release: (auth, lease, delayMs) => harness.queue.release(auth, lease, delayMs),
      park: (auth, lease, maxWaitMs) => harness.queue.park(auth, lease, maxWaitMs),
      wake: (auth, runId) => harness.queue.wake(auth, runId),
      depth: (worker) => harness.queue.depth(worker),
      loads: (worker, tenantIds) => harness.queue.loads(worker, tenantIds),
    };
    const runId = await harness.create();
    const worker = workerOf(harness, {}, flaky);
    worker.start();
    await until(async () => (await status(harness, runId)) === 'completed', 'the run completed');
    await worker.stop();
  });

  it('gives up a run that breaks every worker, and says so', async () => {
    const harness = runtime(new ScriptedModel(says('Hi.')));
    const runId = await harness.create();
    const worker = new Worker(harness.queue, { ...harness.dependencies, clock: systemClock, runState: { ...harness.runState, advance: () => Promise.reject(new Error('broken')) } as never }, { ...QUICK, maxAttempts: 3 });
    worker.start();
    await until(async () => (await status(harness, runId)) === 'failed', 'the run is given up');
    await worker.stop();
    expect((await harness.runState.getRun(AUTH, runId)).error).toMatchObject({ code: 'internal_error', details: { reason: 'poisoned', attempts: 3 } });
    expect((await harness.queue.depth(worker.identity)).drift).toBe(0);
  });
});
