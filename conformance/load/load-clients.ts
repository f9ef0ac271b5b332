/**
 * Clients of the run benchmark: each creates a run over HTTP, follows its event stream to the terminal event, and
 * starts again. They speak plain HTTP over kept-alive sockets, so that the client costs little beside the servers.
 */
import { Pool } from 'undici';

export interface LoadResult {
  readonly runs: number;
  readonly runsPerSecond: number;
  /** Milliseconds, sorted ascending. */
  readonly createMs: readonly number[];
  readonly firstEventMs: readonly number[];
  readonly wholeMs: readonly number[];
  readonly errors: number;
}

const TERMINAL = /"type":"agentos\.run\.(completed|failed|canceled)"/;

export class LoadClients {
  readonly #pool: Pool;
  readonly #headers: Record<string, string>;
  readonly #agentId: string;

  constructor(options: { readonly baseUrl: string; readonly tenantId: string; readonly agentId: string; readonly connections: number }) {
    this.#pool = new Pool(options.baseUrl, { connections: options.connections * 2, pipelining: 1 });
    this.#headers = { 'content-type': 'application/json', 'x-tenant-id': options.tenantId };
    this.#agentId = options.agentId;
  }

  /** Keeps `clients` runs under way for `durationMs`. */
  async measure(clients: number, durationMs: number): Promise<LoadResult> {
    const started = performance.now();
    const samples: Array<{ create: number; first: number; whole: number }> = [];
    let errors = 0;
    const client = async (): Promise<void> => {
      while (performance.now() - started < durationMs) {
        try {
          samples.push(await this.#oneRun());
        } catch (error) {
          errors += 1;
          if (errors > 20) throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
    const seconds = (performance.now() - started) / 1_000;
    const sorted = (key: 'create' | 'first' | 'whole'): number[] => samples.map((sample) => sample[key]).sort((a, b) => a - b);
    return {
      runs: samples.length,
      runsPerSecond: samples.length / seconds,
      createMs: sorted('create'),
      firstEventMs: sorted('first'),
      wholeMs: sorted('whole'),
      errors,
    };
  }

  async #oneRun(): Promise<{ create: number; first: number; whole: number }> {
    const started = performance.now();
    const created = await this.#pool.request({
      method: 'POST',
      path: `/v1/agents/${this.#agentId}/runs`,
      headers: this.#headers,
      body: '{"input":"hello"}',
    });
    const text = await created.body.text();
    if (created.statusCode !== 201) throw new Error(`create answered ${created.statusCode}: ${text}`);
    const create = performance.now() - started;
    const { events_url: eventsUrl } = (JSON.parse(text) as { run: { events_url: string } }).run;
    const stream = await this.#pool.request({ method: 'GET', path: eventsUrl, headers: this.#headers });
    if (stream.statusCode !== 200) throw new Error(`events answered ${stream.statusCode}: ${await stream.body.text()}`);
    let first = 0;
    let tail = '';
    let ended: string | null = null;
    for await (const chunk of stream.body) {
      if (first === 0) first = performance.now() - started;
      tail = (tail + String(chunk)).slice(-8_192);
      ended = TERMINAL.exec(tail)?.[1] ?? ended;
    }
    if (ended !== 'completed') throw new Error(`run ended as ${ended ?? 'nothing'}: ${tail.slice(-400)}`);
    return { create, first, whole: performance.now() - started };
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }
}

/** The value below which `share` (0..1) of the sorted samples lie; NaN for none. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
