/**
 * Server-sent events as a pull loop (WHATWG HTML, "Server-sent events").
 *
 * The producer is asked for the next frame only when the socket has taken the one before, so a slow reader holds one
 * frame and not a queue. A reader that takes nothing for `stallMs` is cut off: it can resume from its last `id`.
 */
import type { ServerResponse } from 'node:http';
import type { DepartureSignal } from '../departure.ts';
import type { SseFrame } from './operation-types.ts';

export const SSE_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no',
};

/** Longest time that a full socket may stay full. */
const SSE_STALL_MS = 30_000;

/** `stopped`: the signal was aborted, the response was ended cleanly and the reader may come back. */
export type StreamEnd = 'complete' | 'client_closed' | 'stalled' | 'stopped';

export interface EventStreamOptions {
  /** Ends the stream cleanly: the server stops, or the caller's rights have gone. */
  readonly signal: DepartureSignal;
  readonly stallMs?: number;
  /** Cut the connection where the signal would end the answer cleanly: for content whose readers could not tell an early end. */
  readonly cutWhenStopped?: boolean;
}

/** Lines of JSON, one a record (application/x-ndjson), under the same rules as frames. */
export function writeLines(response: ServerResponse, lines: AsyncIterable<string>, options: EventStreamOptions): Promise<StreamEnd> {
  return writePulled(response, lines, (line) => `${line}\n`, { ...options, cutWhenStopped: true });
}

/** Writes frames until the iterable ends, then ends the response. Headers must have been written. Rethrows the producer's errors. */
export function writeEventStream(response: ServerResponse, frames: AsyncIterable<SseFrame>, options: EventStreamOptions): Promise<StreamEnd> {
  return writePulled(response, frames, formatFrame, options);
}

async function writePulled<Frame>(response: ServerResponse, frames: AsyncIterable<Frame>, format: (frame: Frame) => string, options: EventStreamOptions): Promise<StreamEnd> {
  const iterator = frames[Symbol.asyncIterator]();
  const stallMs = options.stallMs ?? SSE_STALL_MS;
  let wake: () => void = () => undefined;
  const onEnd = (): void => wake();
  const gone = (): boolean => response.destroyed || response.closed;
  response.on('close', onEnd);
  options.signal.addEventListener('abort', onEnd);
  try {
    for (;;) {
      if (gone()) return 'client_closed';
      if (options.signal.aborted) {
        if (options.cutWhenStopped === true) response.destroy();
        else response.end();
        return 'stopped';
      }
      // Waiting for the producer ends as well when the reader goes away or the signal is aborted. A race against one
      // long-lived promise would pile up a reaction with every frame; this leaves none behind.
      const next = await new Promise<IteratorResult<Frame> | null>((resolve, reject) => {
        wake = () => resolve(null);
        iterator.next().then(resolve, reject);
      });
      if (next === null) continue;
      if (next.done) {
        response.end();
        return 'complete';
      }
      if (gone()) continue;
      gatherForThisTick(response);
      if (response.write(format(next.value))) continue;
      if ((await drained(response, stallMs)) || gone()) continue;
      response.destroy();
      return 'stalled';
    }
  } finally {
    response.off('close', onEnd);
    options.signal.removeEventListener('abort', onEnd);
    // Lets the producer free what it holds. Not awaited: a producer that still waits for its next frame answers later.
    void iterator.return?.(undefined)?.catch(() => undefined);
  }
}

/**
 * Frames that are there at once leave in one packet, the headers with them: a system call costs more than a frame. The
 * socket is held back and not the response, whose own cork sends the length of a chunk in a packet of its own.
 */
export function gatherForThisTick(response: ServerResponse): void {
  const { socket } = response;
  if (socket === null || socket.writableCorked > 0) return;
  socket.cork();
  process.nextTick(() => socket.uncork());
}

/** True once the socket takes more; false when it closed or stayed full for too long. */
function drained(response: ServerResponse, stallMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (taken: boolean): void => {
      clearTimeout(timer);
      response.off('drain', onDrain);
      response.off('close', onClose);
      resolve(taken);
    };
    const onDrain = (): void => settle(true);
    const onClose = (): void => settle(false);
    const timer = setTimeout(() => settle(false), stallMs);
    response.on('drain', onDrain);
    response.on('close', onClose);
  });
}

/** One frame in wire form. Line breaks in data become several `data:` lines, which readers join again. */
export function formatFrame(frame: SseFrame): string {
  if ('comment' in frame) return `: ${frame.comment.replaceAll(/[\r\n]+/g, ' ')}\n\n`;
  if (frame.wire !== undefined) return frame.wire;
  let text = '';
  if (frame.id !== undefined) text += `id: ${singleLine(frame.id)}\n`;
  if (frame.event !== undefined) text += `event: ${singleLine(frame.event)}\n`;
  const data = /[\r\n]/.test(frame.data) ? frame.data.split(/\r\n|\r|\n/).join('\ndata: ') : frame.data;
  return `${text}data: ${data}\n\n`;
}

function singleLine(value: string): string {
  if (/[\r\n\0]/.test(value)) throw new Error('An event id or name may not contain line breaks.');
  return value;
}
