/** A reader of event streams that can be cut off and comes back, at another replica, from where it was. */
import { createParser } from 'eventsource-parser';
import { Agent, request } from 'undici';

export interface Delivered {
  readonly sequence: number;
  readonly type: string;
  /** From the event's own time to its arrival here, by one clock. */
  readonly delayMs: number;
}

const TERMINAL = /^agentos\.run\.(completed|failed|canceled)$/;
/** As many connections as there are streams. */
const agent = new Agent({ connections: 20_000, pipelining: 1, headersTimeout: 20_000, bodyTimeout: 60_000, connectTimeout: 10_000 });

export const isTerminal = (type: string): boolean => TERMINAL.test(type);

/**
 * Reads on until the server ends the stream, `count` events have come, or the signal cuts it. Answers what came; a
 * connection that breaks ends the reading and is no error.
 */
export async function readOn(url: string, stream: { readonly tenantId: string; readonly runId: string; readonly after: number }, options: { readonly count?: number; readonly signal?: AbortSignal } = {}): Promise<Delivered[]> {
  const delivered: Delivered[] = [];
  const parser = createParser({
    onEvent({ data }) {
      const { event } = JSON.parse(data) as { event: { sequence: number; type: string; time: string } };
      delivered.push({ sequence: event.sequence, type: event.type, delayMs: Date.now() - Date.parse(event.time) });
    },
  });
  try {
    const answer = await request(`${url}/v1/runs/${stream.runId}/events?after_sequence=${stream.after}`, { dispatcher: agent, headers: { 'x-tenant-id': stream.tenantId, accept: 'text/event-stream' }, signal: options.signal ?? null });
    if (answer.statusCode !== 200) throw new Error(`The stream of ${stream.runId} was answered ${answer.statusCode}: ${await answer.body.text()}`);
    answer.body.on('error', () => undefined);
    const decoder = new TextDecoder();
    for await (const chunk of answer.body) {
      parser.feed(decoder.decode(chunk as Buffer, { stream: true }));
      if (options.count !== undefined && delivered.length >= options.count) break;
    }
  } catch (error) {
    if ((error as Error).message.startsWith('The stream of')) throw error;
  }
  return options.count === undefined ? delivered : delivered.slice(0, options.count);
}

/** Follows a run to its end over so many cuts, each after one to three events, coming back at the next address. */
export async function followWithCuts(urls: readonly string[], run: { readonly tenantId: string; readonly runId: string }, cuts: number, between: (low: number, high: number) => number): Promise<Delivered[]> {
  const all: Delivered[] = [];
  const deadline = performance.now() + 60_000;
  for (let turn = 0; performance.now() < deadline; turn += 1) {
    const after = all.at(-1)?.sequence ?? 0;
    const count = turn < cuts ? { count: between(1, 3) } : {};
    all.push(...(await readOn(urls[turn % urls.length]!, { ...run, after }, count)));
    if (all.length > 0 && isTerminal(all.at(-1)!.type)) return all;
  }
  throw new Error(`The stream of ${run.runId} had not ended after a minute; it stands at ${all.at(-1)?.sequence ?? 0}.`);
}
