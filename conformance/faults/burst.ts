/** Many requests at once, as strangers would make them: what each was answered, and how long it took. */
import { Pool } from 'undici';

export interface BurstAnswer {
  /** 0: no answer came. */
  readonly status: number;
  readonly retryAfter: string | null;
  readonly code: string | null;
  readonly runId: string | null;
  readonly ms: number;
  /** `performance.now()` when the answer was there. */
  readonly atMs: number;
}

export interface CreateRequest {
  readonly tenantId: string;
  readonly key?: string;
  readonly input?: string;
  readonly agentId?: string;
}

/** Clients of several replicas; each keeps its connections. */
export class Burst {
  readonly #pools: readonly Pool[];
  #next = 0;

  constructor(urls: readonly string[], options: { readonly connections?: number; readonly answerMs?: number } = {}) {
    const answerMs = options.answerMs ?? 10_000;
    this.#pools = urls.map((url) => new Pool(url, { connections: options.connections ?? 64, pipelining: 1, headersTimeout: answerMs, bodyTimeout: answerMs, connectTimeout: 5_000 }));
  }

  /** Asks one replica after the other. */
  async create(request: CreateRequest): Promise<BurstAnswer> {
    const startedAt = performance.now();
    const pool = this.#pools[(this.#next += 1) % this.#pools.length]!;
    try {
      const answer = await pool.request({
        method: 'POST',
        path: `/v1/agents/${request.agentId ?? 'agt_demo'}/runs`,
        headers: { 'content-type': 'application/json', 'x-tenant-id': request.tenantId },
        body: JSON.stringify({ input: request.input ?? 'Hello.', ...(request.key === undefined ? {} : { idempotency_key: request.key }) }),
      });
      const body = (await answer.body.json()) as { run?: { run_id: string }; error?: { code: string } };
      const retryAfter = answer.headers['retry-after'];
      const atMs = performance.now();
      return { status: answer.statusCode, retryAfter: typeof retryAfter === 'string' ? retryAfter : null, code: body.error?.code ?? null, runId: body.run?.run_id ?? null, ms: atMs - startedAt, atMs };
    } catch {
      const atMs = performance.now();
      return { status: 0, retryAfter: null, code: null, runId: null, ms: atMs - startedAt, atMs };
    }
  }

  /** Clients that ask again as soon as they are answered. */
  async closedLoop(clients: number, durationMs: number, request: () => CreateRequest): Promise<BurstAnswer[]> {
    const answers: BurstAnswer[] = [];
    const deadline = performance.now() + durationMs;
    await Promise.all(Array.from({ length: clients }, async () => {
      while (performance.now() < deadline) answers.push(await this.create(request()));
    }));
    return answers;
  }

  /** Requests at a steady rate, whether or not the ones before were answered. */
  openLoop(perSecond: number, durationMs: number, request: () => CreateRequest): Promise<BurstAnswer[]> {
    return steadily(perSecond, durationMs, () => this.create(request()));
  }

  /** As many requests that ask for nothing: what they cost is what requests cost. */
  async idleLoop(perSecond: number, durationMs: number): Promise<void> {
    await steadily(perSecond, durationMs, async () => {
      const pool = this.#pools[(this.#next += 1) % this.#pools.length]!;
      await (await pool.request({ method: 'GET', path: '/livez' })).body.dump();
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.destroy()));
  }
}

async function steadily<Answer>(perSecond: number, durationMs: number, ask: () => Promise<Answer>): Promise<Answer[]> {
  const pending: Promise<Answer>[] = [];
  const startedAt = performance.now();
  for (let elapsed = 0; elapsed < durationMs; elapsed = performance.now() - startedAt) {
    const due = Math.floor((elapsed / 1000) * perSecond);
    while (pending.length < due) pending.push(ask());
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return Promise.all(pending);
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

export function countBy<Value>(values: readonly Value[], name: (value: Value) => string | number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[name(value)] = (counts[name(value)] ?? 0) + 1;
  return counts;
}
