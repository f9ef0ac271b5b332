/** A stream under a request id that its caller chose: made once, and told again from its whole answer (Appendix E.1). */
import type { ModelResponse } from '../../../generated/types/index.ts';
import type { Repeatable, Repeats } from './repeats.ts';
import type { AnswerEvent, AnswerStream } from './stream.ts';

/** @param open called only where the request is to be made; @param onRepeated hears of an answer that was there already */
export function streamOnce(repeats: Repeats, request: Repeatable, open: (charged: () => Promise<void>) => Promise<AnswerStream>, onRepeated: (response: ModelResponse) => void): Promise<AnswerStream> {
  return new Promise((resolve, reject) => {
    repeats.once(request, async (charged) => {
      const stream = await open(charged);
      resolve(stream);
      return stream.response;
    }).then(({ response, repeated }) => {
      if (!repeated) return;
      onRepeated(response);
      resolve(told(response));
      // Once the stream is open, its reader learns of the failure from the stream, and this rejection of no promise.
    }, reject);
  });
}

function told(response: ModelResponse): AnswerStream {
  return { model: response.route.model, events: piecesOf(response), response: Promise.resolve(response), charged: () => null };
}

async function* piecesOf(response: ModelResponse): AsyncGenerator<AnswerEvent, void, void> {
  const { output } = response;
  if ('message' in output) {
    if (output.message.content !== null && output.message.content !== '') yield { type: 'content', text: output.message.content };
    for (const [index, call] of (output.tool_calls ?? []).entries()) {
      yield { type: 'tool_call', index, ...(call.tool_call_id === undefined ? {} : { id: call.tool_call_id }), toolId: call.tool_id, name: call.name, argumentsDelta: typeof call.input === 'string' ? call.input : JSON.stringify(call.input ?? {}) };
    }
  }
  yield { type: 'completed', response };
}
