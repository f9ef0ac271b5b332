import { describe, expect, it } from 'vitest';
import { WakeHub } from './wake-hub.ts';

const never = new AbortController().signal;
const elapsed = async (wait: Promise<void>): Promise<number> => {
  const startedAt = performance.now();
  await wait;
  return performance.now() - startedAt;
};

describe('wake-ups', () => {
  it('wake who waits for work, and who asks right after', async () => {
    const hub = new WakeHub();
    const waiting = elapsed(hub.waitForWork(5_000, never));
    hub.signalWork();
    expect(await waiting).toBeLessThan(1_000);
    expect(await elapsed(hub.waitForWork(5_000, never))).toBeLessThan(1_000);
    hub.workSeen();
    expect(await elapsed(hub.waitForWork(30, never))).toBeGreaterThanOrEqual(25);
  });

  it('wake readers of that run alone, and only for events they have not had', async () => {
    const hub = new WakeHub();
    let other = false;
    const otherWait = hub.waitForRun('b', 0, 200, never).then(() => (other = true));
    const waiting = elapsed(hub.waitForRun('a', 3, 5_000, never));
    hub.signalRun('a', 3);
    hub.signalRun('a', 4);
    expect(await waiting).toBeLessThan(1_000);
    expect(other).toBe(false);
    await otherWait;
  });

  it('are not lost between a look and the wait that follows', async () => {
    const hub = new WakeHub();
    hub.signalRun('a', 7);
    expect(await elapsed(hub.waitForRun('a', 6, 5_000, never))).toBeLessThan(1_000);
    expect(await elapsed(hub.waitForRun('a', 7, 30, never))).toBeGreaterThanOrEqual(25);
  });

  it('leave nothing behind: timers, listeners, waiters', async () => {
    const hub = new WakeHub();
    const stops = Array.from({ length: 50 }, () => new AbortController());
    const waits = stops.map(({ signal }, index) => (index % 2 === 0 ? hub.waitForWork(60_000, signal) : hub.waitForRun(`r${index % 5}`, 0, 60_000, signal)));
    expect(hub.waiting).toBe(50);
    for (const stop of stops) stop.abort();
    await Promise.all(waits);
    expect(hub.waiting).toBe(0);
    await hub.waitForWork(60_000, stops[0]!.signal);
  });
});
