/**
 * A model's answer as it comes. The stream cannot be resumed: one that ends without its last event is an error, and
 * calling again under the same `request_id` is answered from the first call or refused, never charged twice.
 */
import type { ModelStreamCompleted, ModelStreamDelta, ModelStreamEvent, OpenaiChatChunk, OpenaiChatFrame } from '../../generated/types/index.ts';
import { ERROR_CODES } from '../../generated/types/error-codes.ts';
import { ConnectionError, errorFromAnswer } from './errors.ts';
import { readData, type Body } from './text-stream.ts';

/**
 * The pieces, then the whole answer, which is the last.
 *
 * @throws ApiError where the server ended the stream with an error; ConnectionError where it just ended.
 */
export async function* readModelStream(body: Body, headers: Headers): AsyncGenerator<ModelStreamDelta | ModelStreamCompleted, void> {
  for await (const event of parse(body)) {
    if (event.type === 'model.failed') throw errorFromAnswer(statusOf(event.error.code), headers, event);
    yield event;
    if (event.type === 'model.completed') return;
  }
  throw new ConnectionError('The model stream ended before its answer was complete.');
}

/** The same as OpenAI's clients read it: chunks up to `[DONE]`. @throws as above. */
export async function* readChatStream(body: Body, headers: Headers): AsyncGenerator<OpenaiChatChunk, void> {
  for await (const text of readData(body)) {
    if (text === '[DONE]') return;
    const frame = JSON.parse(text) as OpenaiChatFrame;
    if ('error' in frame) throw errorFromAnswer(statusOf(frame.error.code), headers, frame);
    yield frame;
  }
  throw new ConnectionError('The model stream ended before its answer was complete.');
}

async function* parse(body: Body): AsyncGenerator<ModelStreamEvent> {
  for await (const text of readData(body)) {
    // Kinds of events that are newer than this client are passed over.
    const event = JSON.parse(text) as ModelStreamEvent;
    if (KNOWN.has(event.type)) yield event;
  }
}

const KNOWN: ReadonlySet<string> = new Set(['model.delta', 'model.completed', 'model.failed'] satisfies ModelStreamEvent['type'][]);

function statusOf(code: string): number {
  return (ERROR_CODES as Record<string, { readonly status: number } | undefined>)[code]?.status ?? 500;
}
