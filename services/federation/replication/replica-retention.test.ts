import { expect, it } from 'vitest';
import { createLogger } from '../../platform/telemetry/logger.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { MemoryReplica } from '../adapters/replica-memory.ts';
import { keepReplicasShort, sweepReplicas } from './replica-retention.ts';
import { logOf, RUN, TENANT } from './scripted-node.fixture.ts';

const AUTH = { tenant_id: TENANT, principal: { principal_id: 'usr_test', principal_type: 'user' }, scopes: [] } as AuthContext;
const log = createLogger({ service: 'federation', level: 'silent' });
const never = new AbortController().signal;

async function kept(): Promise<{ replica: MemoryReplica; forgotten: number[]; list: { forget(limit: number): Promise<number> } }> {
  const replica = new MemoryReplica();
  for (let run = 0; run < 5; run += 1) await replica.store(AUTH, 'stk_b', logOf(2).map((event) => ({ ...event, run_id: `${RUN}_${run}`, event_id: `${event.event_id}_${run}` })));
  const forgotten: number[] = [];
  let left = 7;
  return { replica, forgotten, list: { forget: async (limit) => (forgotten.push(Math.min(limit, left)), (left -= forgotten.at(-1)!), forgotten.at(-1)!) } };
}

it('deletes what is past its time, batch after batch, until nothing is left', async () => {
  const parts = await kept();
  expect(await sweepReplicas({ ...parts, log }, { runDays: 1, intervalMs: 1, batch: 2, pauseMs: 1 }, never)).toBe(0);
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(await sweepReplicas({ ...parts, log }, { runDays: 1e-9, intervalMs: 1, batch: 2, pauseMs: 1 }, never)).toBe(5);
  expect(await parts.replica.extent(AUTH, `${RUN}_0`)).toBeNull();
  expect(parts.forgotten.reduce((sum, each) => sum + each, 0), 'the list goes with the index of forwards').toBe(7);
});

it('works in the background until it is stopped, and never where copies are kept for ever', async () => {
  const parts = await kept();
  const stop = keepReplicasShort({ ...parts, log }, { runDays: 1e-9, intervalMs: 5, batch: 2, pauseMs: 1 });
  await expect.poll(() => parts.replica.extent(AUTH, `${RUN}_4`)).toBeNull();
  await stop();
  const forever = await kept();
  await keepReplicasShort({ ...forever, log }, { runDays: 0, intervalMs: 1, batch: 2 })();
  expect(forever.forgotten).toEqual([]);
});
