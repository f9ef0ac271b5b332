import { describe, expect, it } from 'vitest';
import { AgentOsError } from '../../platform/errors.ts';
import type { SseFrame } from '../../platform/http/operation-types.ts';
import { executeRun } from '../runtime/executor.ts';
import { AUTH, ScriptedModel, runtime, says } from '../runtime/runtime.fixture.ts';
import { runCanceled } from './drafts.ts';
import { openEventStream, type EventStreamOptions } from './stream.ts';

const never = new AbortController().signal;

async function finished(): Promise<{ harness: ReturnType<typeof runtime>; runId: string }> {
  const harness = runtime(new ScriptedModel(says('Hi.')));
  const runId = await harness.create();
  await executeRun(harness.dependencies, await harness.claim(), never);
  return { harness, runId };
}

async function collect(stream: AsyncIterable<SseFrame>): Promise<SseFrame[]> {
  const frames: SseFrame[] = [];
  for await (const frame of stream) frames.push(frame);
  return frames;
}

const open = (harness: ReturnType<typeof runtime>, runId: string, options: Partial<EventStreamOptions> = {}) =>
  openEventStream(harness.dependencies.events, AUTH, runId, { after: 0, signal: never, ...options });

const sequences = (frames: readonly SseFrame[]) => frames.flatMap((frame) => ('data' in frame ? [Number(frame.id)] : []));

describe('the stream of a run', () => {
  it('has an id, the event name and one envelope a frame, and ends after the terminal event', async () => {
    const { harness, runId } = await finished();
    const frames = await collect(await open(harness, runId));
    expect(sequences(frames)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    for (const frame of frames) {
      if (!('data' in frame)) continue;
      expect(frame.event).toBe('agentos.event');
      expect(JSON.parse(frame.data)).toMatchObject({ event: { run_id: runId, tenant_id: AUTH.tenant_id, sequence: Number(frame.id), trace: { traceparent: expect.stringContaining('4bf92f3577b34da6a3ce929d0e0e4736') as string } } });
    }
  });

  it('goes on behind any cursor, and past the end is empty and closes', async () => {
    const { harness, runId } = await finished();
    for (let after = 0; after <= 9; after += 1) {
      expect(sequences(await collect(await open(harness, runId, { after, pageSize: 2 })))).toEqual([1, 2, 3, 4, 5, 6, 7].filter((sequence) => sequence > after));
    }
    expect(await collect(await open(harness, runId, { after: 1e15 }))).toEqual([]);
  });

  it('tells what happens while it happens', async () => {
    const harness = runtime(new ScriptedModel(says('Hi.')));
    const runId = await harness.create();
    const reading = open(harness, runId, { minPollMs: 60_000 }).then(collect);
    await executeRun(harness.dependencies, await harness.claim(), never);
    expect(sequences(await reading)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('finds events by its own poll when the hint was lost', async () => {
    const harness = runtime(new ScriptedModel(says('Hi.')));
    const runId = await harness.create();
    const reading = open(harness, runId, { minPollMs: 10, maxPollMs: 20 }).then(collect);
    await new Promise((resolve) => setTimeout(resolve, 30));
    await harness.runState.cancelRun(AUTH, runId, runCanceled(runId, 'usr_test'));
    expect(sequences(await reading)).toEqual([1, 2]);
  });

  it('keeps an idle connection alive with comments', async () => {
    const harness = runtime(new ScriptedModel(says('Hi.')));
    const runId = await harness.create();
    const stop = new AbortController();
    const seen: SseFrame[] = [];
    for await (const frame of await open(harness, runId, { keepAliveMs: 15, minPollMs: 5, maxPollMs: 5, signal: stop.signal })) {
      seen.push(frame);
      if (seen.length === 3) stop.abort();
    }
    expect(seen.slice(1)).toEqual([{ comment: 'keep-alive' }, { comment: 'keep-alive' }]);
  });

  it('refuses a run of another tenant before anything is sent', async () => {
    const { harness, runId } = await finished();
    await expect(openEventStream(harness.dependencies.events, { ...AUTH, tenant_id: 'tnt_other' }, runId, { after: 0, signal: never })).rejects.toBeInstanceOf(AgentOsError);
  });
});
