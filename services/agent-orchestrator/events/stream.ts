/**
 * A run's events as a stream of server-sent frames (Appendix D.4, "SSE"; C-15, C-16).
 *
 * A pull loop: read a page from the cursor, hand its frames on, wait for a hint that there is more. The reader's pace
 * is the pace of reading, and nothing is queued beyond a page. Every wait ends by itself, so a hint that was lost
 * delays a frame and loses none: polls begin a second apart and grow to five while nothing happens.
 *
 * The stream ends when the run has ended and its last event is out. A comment every fifteen seconds keeps proxies
 * from closing an idle connection.
 */
import type { SseFrame } from '../../platform/http/operation-types.ts';
import { formatFrame } from '../../platform/http/sse.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { EventPage, EventPort, RunEvent } from '../ports/events.ts';
import { eventEnvelope } from './envelope.ts';

export interface EventStreamOptions {
  /** Exclusive: the first frame has a greater sequence. */
  readonly after: number;
  readonly signal: AbortSignal;
  readonly pageSize?: number;
  readonly keepAliveMs?: number;
  readonly minPollMs?: number;
  readonly maxPollMs?: number;
}

/** A reader that stalls holds a page, so pages are small; nearly every run fits into one. */
const PAGE_SIZE = 32;

const isEnded = (page: EventPage): boolean => page.status !== 'queued' && page.status !== 'running';

/** Reads the first page at once, so that a run that does not exist is refused before anything is sent. @throws AgentOsError not_found. */
export async function openEventStream(events: EventPort, auth: AuthContext, runId: string, options: EventStreamOptions): Promise<AsyncIterable<SseFrame>> {
  const limit = options.pageSize ?? PAGE_SIZE;
  const first = await events.read(auth, runId, { after: options.after, limit });
  return frames(events, auth, runId, { ...options, pageSize: limit }, first);
}

/** Readers of one process share the events that they are given, and so each event is put into words once. */
const FRAMES = new WeakMap<RunEvent, SseFrame>();

function frameOf(event: RunEvent): SseFrame {
  const known = FRAMES.get(event);
  if (known !== undefined) return known;
  const frame = { id: String(event.sequence), event: 'agentos.event', data: JSON.stringify(eventEnvelope(event)) };
  const shared = { ...frame, wire: formatFrame(frame) };
  FRAMES.set(event, shared);
  return shared;
}

async function* frames(events: EventPort, auth: AuthContext, runId: string, options: EventStreamOptions & { readonly pageSize: number }, first: EventPage): AsyncGenerator<SseFrame, void, undefined> {
  const { signal, pageSize } = options;
  const keepAliveMs = options.keepAliveMs ?? 15_000;
  const minPollMs = options.minPollMs ?? 1_000;
  const maxPollMs = options.maxPollMs ?? 5_000;
  let cursor = options.after;
  let page = first;
  let pollMs = minPollMs;
  let lastFrameMs = performance.now();
  for (;;) {
    for (const event of page.events) {
      yield frameOf(event);
      cursor = event.sequence;
    }
    if (page.events.length > 0) {
      pollMs = minPollMs;
      lastFrameMs = performance.now();
    }
    if (isEnded(page) && cursor >= page.lastSequence) return;
    if (page.events.length === 0 || cursor >= page.lastSequence) {
      const quietMs = keepAliveMs - (performance.now() - lastFrameMs);
      if (quietMs <= 0) {
        yield { comment: 'keep-alive' };
        lastFrameMs = performance.now();
        continue;
      }
      await events.wait(auth, runId, { after: cursor, maxWaitMs: Math.min(pollMs, quietMs), signal });
      pollMs = Math.min(maxPollMs, pollMs * 2);
    }
    if (signal.aborted) return;
    page = await events.read(auth, runId, { after: cursor, limit: pageSize });
  }
}
