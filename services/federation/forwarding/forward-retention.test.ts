import { afterEach, describe, expect, it } from 'vitest';
import { createLogger } from '../../platform/telemetry/logger.ts';
import { CALLER } from '../federation.fixture.ts';
import { MemoryForwardIndex } from '../adapters/forward-index-memory.ts';
import { keepForwardsShort } from './forward-retention.ts';

const DAY_MS = 86_400_000;
const log = createLogger({ service: 'federation', level: 'silent' });

describe('old forwards', () => {
  let stop: (() => Promise<void>) | undefined;
  afterEach(() => stop?.());

  async function withForwards(...ageDays: number[]) {
    let now = Date.now();
    const index = new MemoryForwardIndex(() => now);
    for (const [i, days] of ageDays.entries()) {
      now = Date.now() - days * DAY_MS;
      await index.begin(CALLER, { forwardId: `fwd_${i}`, targetStackId: 'stk_b', run: { agent_id: 'agt_x', input: 'x' }, correlationId: 'corr_1', idempotency: null });
      await index.complete(CALLER, `fwd_${i}`, { runId: `run_${i}`, eventsUrl: 'https://b.example/', status: 'queued' });
    }
    const left = async (): Promise<boolean[]> => Promise.all(ageDays.map(async (_, i) => (await index.findByRun(CALLER, `run_${i}`)) !== null));
    return { index, left };
  }

  it('go in batches when no run can be left that they lead to, and not a day earlier', async () => {
    const { index, left } = await withForwards(40, 35, 32, 30.5, 1);
    stop = keepForwardsShort(index, { runDays: 30, intervalMs: 5, batch: 2, log });
    await expect.poll(left).toEqual([false, false, false, true, true]);
  });

  it('stay where runs are kept for ever', async () => {
    const { index, left } = await withForwards(4_000);
    stop = keepForwardsShort(index, { runDays: 0, intervalMs: 1, batch: 2, log });
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(await left()).toEqual([true]);
  });

  it('are tried again when the store was away', async () => {
    let asked = 0;
    stop = keepForwardsShort({ deleteExpired: async () => { asked += 1; throw new Error('away'); } }, { runDays: 1, intervalMs: 2, batch: 2, log });
    await expect.poll(() => asked).toBeGreaterThan(2);
  });
});
