import { describe, expect, it } from 'vitest';
import { AgentOsError } from '../../platform/errors.ts';
import { withRetries, type RetryClock } from './retry.ts';

const never = new AbortController().signal;
const away = new AgentOsError('dependency_unavailable', { message: 'Nobody there.', details: { reason: 'unreachable' } });
const broken = new AgentOsError('internal_error', { message: 'Broken.', details: {} });

/** Calls fail as scripted, the last way for ever; time passes only in pauses. */
async function outcome(script: readonly (AgentOsError | 'ok')[], { graceMs, deadlineMs = 1e9 }: { readonly graceMs: number; readonly deadlineMs?: number }) {
  const pauses: number[] = [];
  let nowMs = 0;
  let calls = 0;
  const clock: RetryClock = { now: () => nowMs, random: () => 1, sleep: async (ms) => void (pauses.push(ms), (nowMs += ms)) };
  const call = async (): Promise<string> => {
    const next = script[Math.min(calls, script.length - 1)]!;
    calls += 1;
    if (next !== 'ok') throw next;
    return next;
  };
  const policy = { attempts: 3, baseMs: 200, maxMs: 10_000, deadlineMs, mayRetry: () => true, outage: { isOne: (error: AgentOsError) => error === away, graceMs } };
  const result = await withRetries(call, policy, clock, never).catch((error: unknown) => error);
  return { result, calls, pauses, nowMs };
}

describe('withRetries', () => {
  it('makes as many attempts as it may, with longer and longer pauses', async () => {
    expect(await outcome([broken], { graceMs: 30_000 })).toMatchObject({ result: broken, calls: 3, pauses: [200, 400] });
  });

  it('counts no attempt while nobody is there, and comes back every second', async () => {
    const { result, calls, pauses } = await outcome([...Array<AgentOsError>(12).fill(away), 'ok'], { graceMs: 30_000 });
    expect([result, calls]).toEqual(['ok', 13]);
    expect(Math.max(...pauses)).toBe(1_000);
  });

  it('still has all its attempts after an outage', async () => {
    const { result, calls } = await outcome([...Array<AgentOsError>(5).fill(away), broken, broken, 'ok'], { graceMs: 30_000 });
    expect([result, calls]).toEqual(['ok', 8]);
  });

  it('counts again once the grace is over, so that an outage without end is told', async () => {
    const { result, nowMs } = await outcome([away], { graceMs: 5_000 });
    expect(result).toBe(away);
    expect(nowMs).toBeGreaterThanOrEqual(5_000);
    expect(await outcome([away], { graceMs: 0 })).toMatchObject({ result: away, calls: 3 });
  });

  it('never waits past the deadline', async () => {
    const { result, nowMs } = await outcome([away], { graceMs: 30_000, deadlineMs: 2_500 });
    expect(result).toBe(away);
    expect(nowMs).toBeLessThan(2_500);
  });
});
