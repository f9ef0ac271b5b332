import type { OpenaiChatChunk, OpenaiChatRequest, OpenaiChatResponse, OpenaiEmbeddingsRequest, OpenaiEmbeddingsResponse } from '../../../generated/types/index.ts';
import type { ApiPromise } from '../api-promise.ts';
import { whole } from '../member.ts';
import { readChatStream } from '../model-stream.ts';
import type { Session } from '../session.ts';
import type { Body } from '../text-stream.ts';
import type { RequestOptions } from '../transport.ts';

/**
 * Models in the shapes of the OpenAI API (PRS 6.1), for programs that speak them already; others use `models`, whose
 * calls can be repeated. OpenAI's own client works as well, with the node as its base URL.
 */
export class OpenAi {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Asked once: no key makes it repeatable. */
  chat(request: OpenaiChatRequest, options: RequestOptions = {}): ApiPromise<OpenaiChatResponse> {
    return this.#session.call('once', options, async (init) => whole<OpenaiChatResponse>(await this.#session.modelPolicy.POST('/v1/chat/completions', { ...init, body: { ...request, stream: false } })));
  }

  /** The chunks; the last one carries what was used. @throws ApiError when the call is refused, or when its stream breaks. */
  async *streamChat(request: OpenaiChatRequest, options: RequestOptions = {}): AsyncGenerator<OpenaiChatChunk, void> {
    const call = this.#session.call('stream', options, async (init) => {
      const answer = await this.#session.modelPolicy.POST('/v1/chat/completions', { ...init, body: { ...request, stream: true }, parseAs: 'stream' });
      return { data: answer.data as Body | undefined, error: answer.error, response: answer.response };
    });
    const { data, response } = await call.withResponse();
    yield* readChatStream(data ?? null, response.headers);
  }

  /** One text or a list of them. Asked once, as `chat` is. */
  embed(request: OpenaiEmbeddingsRequest, options: RequestOptions = {}): ApiPromise<OpenaiEmbeddingsResponse> {
    return this.#session.call('once', options, async (init) => whole<OpenaiEmbeddingsResponse>(await this.#session.modelPolicy.POST('/v1/embeddings', { ...init, body: request })));
  }
}
