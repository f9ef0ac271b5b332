/**
 * A process of its own that makes calls against the budgets of DATABASE_URL and may be killed: told what to do and
 * telling what came of it over the channel to its parent. No model is called; a call is a hold, a pause and an end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createDatabase } from '../../platform/db/pool.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { BudgetLimit } from '../ports/usage.ts';
import { decisionOf } from '../../../conformance/ports/decision-fixtures.ts';
import { PostgresDecisions } from './decisions-postgres.ts';
import { openCallWriter } from './usage-open-writer.ts';
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
  /** Whether each call claims its request id. */
  readonly claims?: boolean;
}

export type Told =
  | { readonly kind: 'ready' }
  | { readonly kind: 'settled'; readonly requestId: string; readonly tokens: number }
  | { readonly kind: 'done'; readonly held: number; readonly refused: number; readonly failed: number; readonly spent: number };

if (process.send !== undefined && process.argv[2] === 'serve') {
  const url = process.env['DATABASE_URL']!;
  const database = await createDatabase({ url, applicationName: 'usage-process', max: 4 });
  const aliveMs = Number(process.env['ALIVE_MS']);
  const folder = process.env['JOURNAL_DIR'];
  const shipAfterMs = process.env['SHIP_AFTER_MS'] === undefined ? {} : { shipAfterMs: Number(process.env['SHIP_AFTER_MS']) };
  const writer = await openCallWriter({ pool: database.pool, commit: folder === undefined ? 'database' : 'journal', folder: folder ?? '', aliveMs, ...shipAfterMs });
  const usage = new PostgresUsage({ pool: database.pool, url, aliveMs, writer });
  const decisions = new PostgresDecisions({ pool: database.pool, retentionMs: 86_400_000, writer });
  const tell = (told: Told): void => void process.send!(told);
  const stop = async (): Promise<void> => {
    await decisions.close();
    await usage.close();
    await writer.close();
    await database.close();
    process.disconnect();
  };
  process.on('message', (message: CallPlan | 'stop') => {
    if (message === 'stop') void stop();
    else void makeCalls(usage, decisions, message, tell);
  });
  tell({ kind: 'ready' });
}

async function makeCalls(usage: PostgresUsage, decisions: PostgresDecisions, plan: CallPlan, tell: (told: Told) => void): Promise<void> {
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
        if (plan.claims === true && (await usage.claim(plan.auth, requestId, 'hash')) !== 'claimed') throw new Error(`${requestId} is not new.`);
        const outcome = await usage.reserve(plan.auth, { tokens, costMicroUsd: 0, budgets: plan.budgets, ttlMs: 60_000 });
        if (outcome.outcome !== 'held') {
          sums.refused += 1;
          continue;
        }
        sums.held += 1;
        if (plan.pauseMs > 0) await sleep(random() * plan.pauseMs);
        // As the engine ends a call: all of it in one tick.
        const settled = usage.settle(plan.auth, outcome.holdId, {
          requestId, runId: null, agentId: null, principalId: 'usr_load', operation: 'chat', model: 'model-a', backend: 'none', inputTokens: used, outputTokens: 0, costMicroUsd: 0, state: 'settled', fallbackUsed: false, estimated: false,
        });
        await Promise.all([settled, decisions.record(plan.auth, decisionOf(plan.auth, { request_id: requestId })), plan.claims === true ? usage.endClaim(plan.auth, requestId, true) : null]);
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
