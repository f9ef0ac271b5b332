/**
 * A model's answer as it comes. The stream cannot be resumed: one that ends without its last event is an error, and
 * calling again under the same `request_id` is answered from the first call or refused, never charged twice.
 */
import { createParser } from 'eventsource-parser';
import type { ReadableStream } from 'node:stream/web';
import type { ModelStreamCompleted, ModelStreamDelta, ModelStreamEvent } from '../../generated/types/index.ts';
import { ERROR_CODES } from '../../generated/types/error-codes.ts';
import { ConnectionError, errorFromAnswer } from './errors.ts';

/**
 * The pieces, then the whole answer, which is the last.
 *
 * @throws ApiError where the server ended the stream with an error; ConnectionError where it just ended.
 */
export async function* readModelStream(body: ReadableStream<Uint8Array> | null, headers: Headers): AsyncGenerator<ModelStreamDelta | ModelStreamCompleted, void> {
  for await (const event of parse(body)) {
    if (event.type === 'model.failed') throw errorFromAnswer(statusOf(event.error.code), headers, event);
    yield event;
    if (event.type === 'model.completed') return;
  }
  throw new ConnectionError('The model stream ended before its answer was complete.');
}

async function* parse(body: ReadableStream<Uint8Array> | null): AsyncGenerator<ModelStreamEvent> {
  if (body === null) return;
  const arrived: string[] = [];
  const parser = createParser({ onEvent: (frame) => arrived.push(frame.data) });
  const decoder = new TextDecoder();
  for await (const chunk of body) {
    parser.feed(decoder.decode(chunk, { stream: true }));
    // Kinds of events that are newer than this client are passed over.
    for (const text of arrived.splice(0)) {
      const event = JSON.parse(text) as ModelStreamEvent;
      if (KNOWN.has(event.type)) yield event;
    }
  }
}

const KNOWN: ReadonlySet<string> = new Set(['model.delta', 'model.completed', 'model.failed'] satisfies ModelStreamEvent['type'][]);

function statusOf(code: string): number {
  return (ERROR_CODES as Record<string, { readonly status: number } | undefined>)[code]?.status ?? 500;
}
