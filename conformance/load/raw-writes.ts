/**
 * The yardstick of the run benchmark: one run's least durable writes through `pg` and nothing else.
 *
 * Four transactions a run (created, started, model called, completed): one run row, six events, three updates of the
 * row. No HTTP, no validation, no tenancy, no lease; what the platform adds on top is the ratio that is printed.
 */
import pg from 'pg';

const SCHEMA_SQL = `
  CREATE SCHEMA IF NOT EXISTS raw_bench;
  CREATE TABLE IF NOT EXISTS raw_bench.runs (
    tenant_id text NOT NULL, run_id text NOT NULL, status text NOT NULL, last_seq integer NOT NULL,
    input jsonb NOT NULL, output jsonb, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (tenant_id, run_id));
  CREATE TABLE IF NOT EXISTS raw_bench.events (
    tenant_id text NOT NULL, run_id text NOT NULL, sequence integer NOT NULL, type text NOT NULL,
    payload jsonb NOT NULL, time timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (tenant_id, run_id, sequence));
`;

const INSERT_RUN = `INSERT INTO raw_bench.runs (tenant_id, run_id, status, last_seq, input) VALUES ($1, $2, 'queued', 1, $3)`;
const INSERT_EVENT = `INSERT INTO raw_bench.events (tenant_id, run_id, sequence, type, payload) VALUES ($1, $2, $3, $4, $5)`;
const UPDATE_RUN = `UPDATE raw_bench.runs SET status = $3, last_seq = $4 WHERE tenant_id = $1 AND run_id = $2`;

const TENANT = 'tnt_raw';
const PAYLOAD = JSON.stringify({ status: 'ok', usage: { input_tokens: 12, output_tokens: 20, total_tokens: 32 }, latency_ms: 1 });
const INPUT = JSON.stringify({ type: 'text', text: 'hello' });

export class RawWriter {
  readonly #clients: pg.Client[];
  #next = 0;

  private constructor(clients: pg.Client[]) {
    this.#clients = clients;
  }

  static async connect(url: string, clients: number): Promise<RawWriter> {
    const connected = await Promise.all(
      Array.from({ length: clients }, async () => {
        const client = new pg.Client({ connectionString: url, application_name: 'raw-bench' });
        await client.connect();
        return client;
      }),
    );
    await connected[0]!.query(SCHEMA_SQL);
    return new RawWriter(connected);
  }

  /** Runs completed a second over `durationMs`, all clients at once. */
  async measure(durationMs: number): Promise<number> {
    const started = performance.now();
    const counts = await Promise.all(
      this.#clients.map(async (client) => {
        let runs = 0;
        for (; performance.now() - started < durationMs; runs += 1) await this.#writeRun(client);
        return runs;
      }),
    );
    const seconds = (performance.now() - started) / 1_000;
    return counts.reduce((sum, count) => sum + count, 0) / seconds;
  }

  async #writeRun(client: pg.Client): Promise<void> {
    const runId = `raw_${process.pid}_${(this.#next += 1)}`;
    const event = (sequence: number, type: string): Promise<unknown> =>
      client.query({ name: 'event', text: INSERT_EVENT, values: [TENANT, runId, sequence, type, PAYLOAD] });
    const update = (status: string, lastSequence: number): Promise<unknown> =>
      client.query({ name: 'update', text: UPDATE_RUN, values: [TENANT, runId, status, lastSequence] });
    const transaction = async (work: () => Promise<void>): Promise<void> => {
      await client.query('BEGIN');
      await work();
      await client.query('COMMIT');
    };
    await transaction(async () => {
      await client.query({ name: 'run', text: INSERT_RUN, values: [TENANT, runId, INPUT] });
      await event(1, 'created');
    });
    await transaction(async () => {
      await update('running', 3);
      await event(2, 'step.started');
      await event(3, 'model.requested');
    });
    await transaction(async () => {
      await update('running', 4);
      await event(4, 'model.completed');
    });
    await transaction(async () => {
      await update('completed', 6);
      await event(5, 'step.completed');
      await event(6, 'completed');
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end()));
  }
}
