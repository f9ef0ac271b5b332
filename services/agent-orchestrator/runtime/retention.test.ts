import { describe, expect, it } from 'vitest';
import { executeRun } from './executor.ts';
import { Retention } from './retention.ts';
import { AUTH, LOG, ScriptedModel, runtime, says } from './runtime.fixture.ts';

const DAY_MS = 86_400_000;
const never = new AbortController().signal;

function setup() {
  let nowMs = Date.parse('2026-01-01T00:00:00Z');
  const harness = runtime(new ScriptedModel(says('Hi.')), {}, () => nowMs);
  const slept: number[] = [];
  const clock = { now: () => nowMs, random: () => 0.5, sleep: async (ms: number) => void slept.push(ms) };
  const retention = (options: object) => new Retention({ runState: harness.runState, clock, log: LOG }, options);
  const ended = async (key?: string): Promise<string> => {
    const runId = await harness.create(key === undefined ? {} : { idempotency: { key, requestHash: 'h', ttlHours: 24 } });
    await executeRun(harness.dependencies, await harness.claim(), never);
    return runId;
  };
  const exists = (runId: string): Promise<boolean> => harness.runState.getRun(AUTH, runId).then(() => true, () => false);
  return { harness, retention, ended, exists, slept, elapseDays: (days: number) => (nowMs += days * DAY_MS) };
}

describe('retention', () => {
  it('deletes runs that ended longer ago than their days, with their events, and no others', async () => {
    const { harness, retention, ended, exists, elapseDays } = setup();
    const old = await ended();
    const waiting = await harness.create();
    elapseDays(20);
    const young = await (async () => {
      const runId = await harness.create();
      return runId;
    })();
    elapseDays(11);
    expect(await retention({ runDays: 30 }).sweep()).toEqual({ runs: 1, keys: 0 });
    expect([await exists(old), await exists(waiting), await exists(young)]).toEqual([false, true, true]);
    await expect(harness.events(old)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('keeps everything for ever at 0 days, but for idempotency records past their time', async () => {
    const { retention, ended, exists, elapseDays } = setup();
    const old = await ended('k');
    elapseDays(1_000);
    expect(await retention({ runDays: 0 }).sweep()).toEqual({ runs: 0, keys: 1 });
    expect(await exists(old)).toBe(true);
  });

  it('goes on batch by batch with a pause between', async () => {
    const { retention, ended, slept, elapseDays } = setup();
    for (let i = 0; i < 5; i += 1) await ended();
    elapseDays(31);
    expect(await retention({ runDays: 30, batch: 2, pauseMs: 7 }).sweep()).toEqual({ runs: 5, keys: 0 });
    expect(slept).toEqual([7, 7]);
  });

  it('keeps a record whose run is under way, however old it is', async () => {
    const { harness, retention, elapseDays } = setup();
    await harness.create({ idempotency: { key: 'k', requestHash: 'h', ttlHours: 1 } });
    elapseDays(100);
    expect(await retention({ runDays: 1 }).sweep()).toEqual({ runs: 0, keys: 0 });
  });
});
