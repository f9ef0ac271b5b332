import { getEventListeners } from 'node:events';
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

  it('let each reader of a run look for itself when its own time is over, and not before', async () => {
    const hub = new WakeHub();
    const others = [hub.waitForRun('a', 0, 60_000, never), hub.waitForRun('a', 0, 60_000, never)];
    expect(await elapsed(hub.waitForRun('a', 0, 30, never))).toBeGreaterThanOrEqual(25);
    expect(hub.waiting, 'those whose time is not over').toBe(2);
    const waits = [80, 30].map((waitMs) => elapsed(hub.waitForRun('a', 0, waitMs, never)));
    expect(await waits[1]).toBeGreaterThanOrEqual(25);
    expect(await waits[0]).toBeGreaterThanOrEqual(75);
    hub.signalRun('a', 1);
    await Promise.all(others);
    expect(hub.waiting).toBe(0);
  });

  it('give a reader that comes back all of its time again', async () => {
    const hub = new WakeHub();
    for (let sequence = 1; sequence <= 3; sequence += 1) {
      const waiting = hub.waitForRun('a', sequence - 1, 60, never);
      await new Promise((resolve) => setTimeout(resolve, 40));
      hub.signalRun('a', sequence);
      await waiting;
    }
    expect(await elapsed(hub.waitForRun('a', 3, 60, never))).toBeGreaterThanOrEqual(55);
  });

  it('listen to a signal once, however often its reader waits, and end all that wait by it', async () => {
    const hub = new WakeHub();
    const stop = new AbortController();
    for (let sequence = 1; sequence <= 20; sequence += 1) {
      const waiting = hub.waitForRun('a', sequence - 1, 60_000, stop.signal);
      hub.signalRun('a', sequence);
      await waiting;
    }
    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(1);
    const waits = ['a', 'a', 'b'].map((run) => hub.waitForRun(run, 20, 60_000, stop.signal));
    stop.abort();
    await Promise.all(waits);
    expect(hub.waiting).toBe(0);
  });
});
