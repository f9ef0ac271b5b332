/**
 * A run's events as one uninterrupted sequence.
 *
 * The stream ends with the run's terminal event. When a connection ends earlier (a restart, a proxy, a broken network)
 * the next one continues after the last sequence that was delivered; events are at-least-once on the wire and exactly
 * once, in order, here.
 */
import type { Event } from '../../generated/types/index.ts';
import { AgentOsError, ApiError, ConnectionError } from './errors.ts';
import { readData, type Body } from './text-stream.ts';
import { sleep, type ClientOptions } from './transport.ts';

const TERMINAL_TYPES = new Set(['agentos.run.completed', 'agentos.run.failed', 'agentos.run.canceled']);
const RECONNECT_DELAY_MS = 200;
const LONGEST_RECONNECT_DELAY_MS = 5_000;

export interface EventStreamOptions {
  /** Starts after this sequence; 0 for all. */
  readonly after?: number;
  readonly signal?: AbortSignal;
  /** Connections in a row that may bring nothing before the stream gives up, 10 by default. */
  readonly maxReconnects?: number;
}

/** True for the events that end a run. */
export function isTerminalEvent(event: Event): boolean {
  return TERMINAL_TYPES.has(event.type);
}

/** Where the events come from. */
export interface EventSource {
  /** Opens a stream of the events after a sequence. */
  open(after: number): Promise<Body>;
  /** Whether the run has ended: an empty stream that closes is then the whole answer. */
  hasEnded(): Promise<boolean>;
}

export async function* readRunEvents(source: EventSource, client: ClientOptions, options: EventStreamOptions): AsyncGenerator<Event, void> {
  let last = options.after ?? 0;
  let fruitless = 0;
  for (;;) {
    const before = last;
    try {
      for await (const event of parseEvents(await source.open(last))) {
        if (event.sequence <= last) continue;
        if (event.sequence > last + 1) {
          throw new ConnectionError(`Event ${last + 1} of run ${event.run_id} was skipped; reading again from there.`);
        }
        last = event.sequence;
        yield event;
        if (isTerminalEvent(event)) return;
      }
      // Nothing new and a clean end: either the cursor stands at the end of a finished run, or a server is restarting.
      if (last === before && (await source.hasEnded())) return;
    } catch (error) {
      if (options.signal?.aborted) throw error;
      if (error instanceof ApiError && !error.retryable) throw error;
      if (!(error instanceof AgentOsError) && !(error instanceof TypeError)) throw error;
      client.logger?.debug('event stream interrupted', { after: last, error: String(error) });
    }
    fruitless = last > before ? 0 : fruitless + 1;
    if (fruitless > (options.maxReconnects ?? 10)) {
      throw new ConnectionError(`The event stream brought nothing new after sequence ${last} over ${fruitless} connections.`);
    }
    await sleep(Math.min(LONGEST_RECONNECT_DELAY_MS, RECONNECT_DELAY_MS * 2 ** Math.max(0, fruitless - 1)), options.signal);
  }
}

async function* parseEvents(body: Body): AsyncGenerator<Event> {
  for await (const text of readData(body)) {
    const data = JSON.parse(text) as { event?: Event };
    if (data.event !== undefined) yield data.event;
  }
}
