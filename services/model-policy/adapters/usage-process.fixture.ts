/**
 * A process of its own that makes calls against the budgets of DATABASE_URL and may be killed: told what to do and
 * telling what came of it over the channel to its parent. No model is called; a call is a hold, a pause and an end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createDatabase } from '../../platform/db/pool.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { BudgetLimit } from '../ports/usage.ts';
import { PostgresUsage } from './usage-postgres.ts';

export interface CallPlan {
  readonly auth: AuthContext;
  readonly budgets: readonly BudgetLimit[];
  readonly calls: number;
  /** Calls under way at once. */
  readonly width: number;
  readonly tokens: readonly [least: number, most: number];
  /** What a call uses of what it held. */
  readonly usedPart: readonly [least: number, most: number];
  /** Longest pause of a call. */
  readonly pauseMs: number;
  readonly seed: number;
}

export type Told =
  | { readonly kind: 'ready' }
  | { readonly kind: 'settled'; readonly requestId: string; readonly tokens: number }
  | { readonly kind: 'done'; readonly held: number; readonly refused: number; readonly failed: number; readonly spent: number };

if (process.send !== undefined && process.argv[2] === 'serve') {
  const url = process.env['DATABASE_URL']!;
  const database = await createDatabase({ url, applicationName: 'usage-process', max: 4 });
  const usage = new PostgresUsage({ pool: database.pool, url, aliveMs: Number(process.env['ALIVE_MS']) });
  const tell = (told: Told): void => void process.send!(told);
  process.on('message', (message: CallPlan | 'stop') => {
    if (message === 'stop') void usage.close().then(() => database.close()).then(() => process.disconnect());
    else void makeCalls(usage, message, tell);
  });
  tell({ kind: 'ready' });
}

async function makeCalls(usage: PostgresUsage, plan: CallPlan, tell: (told: Told) => void): Promise<void> {
  const random = seeded(plan.seed);
  const between = ([least, most]: readonly [number, number]): number => least + Math.floor(random() * (most - least + 1));
  const sums = { held: 0, refused: 0, failed: 0, spent: 0 };
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < plan.calls) {
      const requestId = `req_${process.pid}_${plan.seed}_${(next += 1)}`;
      const tokens = between(plan.tokens);
      const used = Math.floor((tokens * between(plan.usedPart)) / 100);
      try {
        const outcome = await usage.reserve(plan.auth, { tokens, costMicroUsd: 0, budgets: plan.budgets, ttlMs: 60_000 });
        if (outcome.outcome !== 'held') {
          sums.refused += 1;
          continue;
        }
        sums.held += 1;
        if (plan.pauseMs > 0) await sleep(random() * plan.pauseMs);
        await usage.settle(plan.auth, outcome.holdId, {
          requestId, runId: null, agentId: null, principalId: 'usr_load', operation: 'chat', model: 'model-a', backend: 'none', inputTokens: used, outputTokens: 0, costMicroUsd: 0, state: 'settled', fallbackUsed: false, estimated: false,
        });
        sums.spent += used;
        tell({ kind: 'settled', requestId, tokens: used });
      } catch {
        sums.failed += 1;
      }
    }
  };
  await Promise.all(Array.from({ length: plan.width }, worker));
  tell({ kind: 'done', ...sums });
}

function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 4_294_967_296;
  };
}
