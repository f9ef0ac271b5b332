/**
 * A run's model call stands in two processes, a database and a journal. Each of them dies at each point at which what the
 * others know of the call differs, and the run ends all the same, without waiting for anybody who is gone.
 *
 * Beside the node runs the Model Policy of another one whose database is a copy of this one's and whose journals lie in
 * the same folder: what it finds there is none of its business.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, untilEnded } from '../harness/client.ts';
import { planProcesses, type ProcessNode } from '../harness/processes.ts';
import { putAgent } from '../harness/seed.ts';
import { verifies } from '../http/verifies.ts';

const AO = 'agent-orchestrator';
const MP = 'model-policy';
const TENANT = 'tnt_demo';
const ALONE = { modelAttempts: 1, toolAttempts: 1 };
/** A call that waits for what never comes would wait for longer than anybody here does. */
const LIMITS = { maxSteps: 10, timeoutMs: 600_000, toolTimeoutMs: 5_000, modelTimeoutMs: 600_000 };
const PATIENCE_MS = 100_000;

/** A backend that answers when it is told to. */
class HeldBackend {
  readonly #server: Server;
  #waiting: (() => void)[] = [];
  #asked = 0;

  constructor() {
    this.#server = createServer((request, response) => {
      request.resume().on('end', () => {
        // Whether it is there, and which models it has, is asked as well.
        if (request.method !== 'POST') return void response.writeHead(200, { 'content-type': 'application/json' }).end('{"object":"list","data":[]}');
        this.#asked += 1;
        const text = `answer ${this.#asked}`;
        const body = { id: 'x', object: 'chat.completion', choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: text } }], usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 } };
        this.#waiting.push(() => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body)));
      });
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  get asked(): number {
    return this.#asked;
  }

  reset(): void {
    this.release();
    this.#asked = 0;
  }

  /** Resolves when it has been asked so often in all. */
  until(times: number): Promise<void> {
    return expect.poll(() => this.#asked, { timeout: PATIENCE_MS, interval: 10 }).toBe(times);
  }

  release(): void {
    for (const answer of this.#waiting.splice(0)) answer();
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

const backend = new HeldBackend();
let node: ProcessNode;
let neighbour: ProcessNode;
beforeAll(async () => {
  const env = { AGENTOS_CONTRACT_CHECK: 'off', AGENTOS_LEASE_MS: '1000', AGENTOS_MODEL_OUTAGE_GRACE_MS: '120000', AGENTOS_LOG_LEVEL: 'info', OPENAI_API_KEY: 'sk-held', OPENAI_BASE_URL: await backend.listen(), AGENTOS_MODEL_OPENAI_MODELS: 'premium=gpt-held@1/1#8000' };
  [node, neighbour] = [await planProcesses(env), await planProcesses(env)];
  await putAgent(node.database.url, TENANT, { agentId: 'agt_held', modelRef: 'gpt-held', tools: [], toolChoice: 'none', limits: LIMITS, retry: ALONE });
  await Promise.all([neighbour.start(MP), start(MP, AO)]);
}, 300_000);
afterAll(async () => {
  backend.release();
  await node?.stop();
  await neighbour?.stop();
  backend.close();
}, 180_000);

async function created(): Promise<string> {
  backend.reset();
  const made = await call(node.urls[AO], '/v1/agents/agt_held/runs', { body: { input: 'hello' } });
  expect(made.status, JSON.stringify(made.body)).toBe(201);
  return made.body.run.run_id as string;
}

/** What was charged for the run so far. */
const charged = (runId: string): Promise<number> =>
  node.database.asSuperuser(async (client) => (await client.query<{ count: number }>('SELECT count(*)::int AS count FROM model_policy.usage_entries WHERE run_id = $1', [runId])).rows[0]!.count);

const start = (...services: readonly (typeof AO | typeof MP)[]): Promise<unknown> => Promise.all(services.map((service) => node.start(service)));
const kill = (...services: readonly (typeof AO | typeof MP)[]): Promise<unknown> => Promise.all(services.map((service) => node.kill(service, 'SIGKILL')));

/** Time in which a process that looks for journals of the dead has looked. */
const LOOKED_MS = 2_500;

/** What failed, with what is known of the run everywhere. */
async function explained(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    const told = await node.database.asSuperuser(async (client) => {
      const rows = async (sql: string): Promise<string> => JSON.stringify((await client.query(sql)).rows);
      return `${await rows('SELECT run_id, status, step, attempts, error, lease_owner, lease_until FROM orchestrator.runs')}\n${await rows('SELECT * FROM model_policy.request_claims')}\n${await rows('SELECT * FROM model_policy.usage_replicas')}`;
    });
    throw new Error(`${(error as Error).message}\n${told}\n${[MP, AO].map((service) => node.output(service as typeof MP).slice(-4_000)).join('\n')}`, { cause: error });
  }
}

async function expectEnd(runId: string, asked: number): Promise<void> {
  const run = await untilEnded(node.urls[AO], runId, { timeoutMs: PATIENCE_MS });
  expect([run.status, run.output?.text, run.error ?? null]).toEqual(['completed', `answer ${asked}`, null]);
}

/** The backend has been asked so often: what it answered last is what the run says. */
const answerAndEnd = (runId: string, asked: number): Promise<void> =>
  explained(backend.until(asked).then(() => {
    backend.release();
    return expectEnd(runId, asked);
  }));

/** The call is answered and charged, and the orchestrator never reads it. */
const answerUnread = (runId: string, asked: number): Promise<void> =>
  explained(backend.until(asked).then(() => {
    node.freeze(AO);
    backend.release();
    return expect.poll(() => charged(runId), { timeout: PATIENCE_MS, interval: 20 }).toBe(asked);
  }));

describe('a run ends when, in the middle of its model call,', () => {
  it('Model Policy dies before it is asked', async () => {
    await kill(MP);
    const runId = await created();
    await node.start(MP);
    await answerAndEnd(runId, 1);
  }, 300_000);

  it('Model Policy dies while its backend answers, and a neighbour has time to look around', async () => {
    const runId = await created();
    await backend.until(1);
    await kill(MP);
    await pause(LOOKED_MS);
    await node.start(MP);
    await answerAndEnd(runId, 2);
    // What was answered comes from the journal to the ledger in a moment of its own.
    await expect.poll(() => charged(runId), { timeout: PATIENCE_MS, interval: 20 }).toBeGreaterThan(0);
    await pause(LOOKED_MS);
    expect(await charged(runId), 'nobody is charged for an answer that nobody got').toBe(1);
  }, 300_000);

  it('both die while the backend answers', verifies(['PRS-12.1-01'], async () => {
    const runId = await created();
    await backend.until(1);
    await kill(MP, AO);
    await pause(LOOKED_MS);
    await start(MP, AO);
    await answerAndEnd(runId, 2);
  }), 300_000);

  it('the orchestrator dies while the backend answers', async () => {
    const runId = await created();
    await backend.until(1);
    await kill(AO);
    await node.start(AO);
    await answerAndEnd(runId, 2);
  }, 300_000);

  it('the orchestrator dies with the answer unread: it is told again and charged once', async () => {
    const runId = await created();
    await answerUnread(runId, 1);
    await kill(AO);
    await node.start(AO);
    await explained(expectEnd(runId, 1));
    expect([backend.asked, await charged(runId)]).toEqual([1, 1]);
  }, 300_000);

  it('both die with the answer unread, and once more', async () => {
    const runId = await created();
    for (let times = 1; times <= 2; times += 1) {
      await answerUnread(runId, times);
      await kill(AO, MP);
      await start(MP, AO);
    }
    await answerAndEnd(runId, 3);
  }, 300_000);
});
