/**
 * Load that does not stop for faults: runs are asked for at a steady rate, each under an idempotency key, and asked for
 * again, of another replica, until somebody acknowledges them. What was acknowledged must exist for ever.
 */
import { Pool } from 'undici';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

export interface LoadTarget {
  readonly url: string;
}

export interface ContinuousLoadOptions {
  readonly targets: readonly LoadTarget[];
  readonly runsPerSecond: number;
  readonly agentId: string;
  readonly tenants: readonly string[];
  /** Begins each key. */
  readonly name: string;
  /** Longest wait for one answer; beyond it the request is made again. */
  readonly answerMs?: number;
}

export interface Acknowledged {
  readonly tenantId: string;
  readonly key: string;
  readonly runId: string;
  /** `performance.now()` of the acknowledgement. */
  readonly atMs: number;
}

export interface ContinuousLoad {
  readonly acknowledged: readonly Acknowledged[];
  /** Keys that were answered with two different runs. */
  readonly contradictions: readonly string[];
  /** Answers that no fault explains: neither success, nor 429, nor 5xx with the error model. */
  readonly wrongAnswers: readonly string[];
  /** Asks for nothing new, and resolves when all that was asked for is acknowledged. @throws Error after `limitMs`. */
  finish(limitMs: number): Promise<void>;
  close(): Promise<void>;
}

export function startLoad(options: ContinuousLoadOptions): ContinuousLoad {
  const pools = options.targets.map(({ url }) => new Pool(url, { connections: 64, pipelining: 1, headersTimeout: options.answerMs ?? 5_000, bodyTimeout: options.answerMs ?? 5_000, connectTimeout: 1_000 }));
  const acknowledged: Acknowledged[] = [];
  const contradictions: string[] = [];
  const wrongAnswers: string[] = [];
  const pending = new Set<Promise<void>>();
  const giveUp = new AbortController();
  // As many pauses as there are requests hang on it.
  setMaxListeners(0, giveUp.signal);
  let count = 0;

  const ask = async (index: number): Promise<void> => {
    const key = `${options.name}_${index}`;
    const tenantId = options.tenants[index % options.tenants.length]!;
    for (let attempt = 0; !giveUp.signal.aborted; attempt += 1) {
      const runId = await askOnce(pools[(index + attempt) % pools.length]!, tenantId, key, options.agentId, wrongAnswers);
      if (runId !== null) {
        acknowledged.push({ tenantId, key, runId, atMs: performance.now() });
        // Every tenth key is used once more, elsewhere: it must lead to the same run.
        if (index % 10 === 0) await askAgain(pools[(index + attempt + 1) % pools.length]!, { tenantId, key, runId }, options.agentId, contradictions, wrongAnswers);
        return;
      }
      await sleep(50 + 50 * Math.min(attempt, 6), undefined, { signal: giveUp.signal }).catch(() => undefined);
    }
  };
  const startedAt = performance.now();
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startedAt) / 1000) * options.runsPerSecond);
    for (; count < due; count += 1) {
      const asked = ask(count);
      pending.add(asked);
      void asked.finally(() => pending.delete(asked));
    }
  }, 20);

  return {
    acknowledged,
    contradictions,
    wrongAnswers,
    async finish(limitMs) {
      clearInterval(timer);
      const late = new AbortController();
      const settled = (async () => {
        while (pending.size > 0) await Promise.all([...pending]);
      })();
      await Promise.race([settled, sleep(limitMs, undefined, { signal: late.signal }).catch(() => undefined)]);
      late.abort();
      if (pending.size === 0) return;
      const open = pending.size;
      giveUp.abort();
      await settled;
      throw new Error(`${open} requests were not acknowledged ${limitMs} ms after the faults had ended.`);
    },
    async close() {
      clearInterval(timer);
      giveUp.abort();
      await Promise.all(pools.map((pool) => pool.destroy()));
    },
  };
}

/** The run's id; null where it must be asked for again. */
async function askOnce(pool: Pool, tenantId: string, key: string, agentId: string, wrongAnswers: string[]): Promise<string | null> {
  try {
    const answer = await pool.request({
      method: 'POST',
      path: `/v1/agents/${agentId}/runs`,
      headers: { 'content-type': 'application/json', 'x-tenant-id': tenantId },
      body: JSON.stringify({ input: `say ${key}`, idempotency_key: key }),
    });
    const text = await answer.body.text();
    if (answer.statusCode === 201 || answer.statusCode === 200) return (JSON.parse(text) as { run: { run_id: string } }).run.run_id;
    const explained = (answer.statusCode === 503 || answer.statusCode === 429) && text.includes('correlation_id');
    if (!explained) wrongAnswers.push(`${answer.statusCode} ${text.slice(0, 300)}`);
    return null;
  } catch {
    return null;
  }
}

async function askAgain(pool: Pool, first: { readonly tenantId: string; readonly key: string; readonly runId: string }, agentId: string, contradictions: string[], wrongAnswers: string[]): Promise<void> {
  const again = await askOnce(pool, first.tenantId, first.key, agentId, wrongAnswers);
  if (again !== null && again !== first.runId) contradictions.push(`${first.key}: ${first.runId} and ${again}`);
}
