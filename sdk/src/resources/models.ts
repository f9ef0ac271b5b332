import type { ModelCapability, ModelRequest, ModelResponse, ModelStreamCompleted, ModelStreamDelta, PolicyCheck, PolicyResult } from '../../../generated/types/index.ts';
import type { ReadableStream } from 'node:stream/web';
import type { ApiPromise } from '../api-promise.ts';
import { member } from '../member.ts';
import { readModelStream } from '../model-stream.ts';
import type { Session } from '../session.ts';
import type { RequestOptions } from '../transport.ts';

/** Governed model access (PRS 6, Appendix E). Usage, latency, policy outcome and route stand in every answer. */
export class Models {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  list(options: RequestOptions = {}): ApiPromise<readonly ModelCapability[]> {
    return this.#session.call('read', options, async (init) => {
      const answer = await this.#session.modelPolicy.GET('/v1/models', init);
      return { data: answer.data?.models as ModelCapability[] | undefined, error: answer.error, response: answer.response };
    });
  }

  /** @throws NotFoundError for one that there is not, and for one that the tenant is not entitled to. */
  retrieve(modelId: string, options: RequestOptions = {}): ApiPromise<ModelCapability> {
    return this.#session.call('read', options, async (init) =>
      member<ModelCapability>(await this.#session.modelPolicy.GET('/v1/models/{model_id}', { ...init, params: { path: { model_id: modelId } } }), 'model'),
    );
  }

  /** Chat or embed. `request_id` makes a repeated call the same call. */
  invoke(request: ModelRequest, options: RequestOptions = {}): ApiPromise<ModelResponse> {
    return this.#session.call('mutation', options, async (init) => {
      const answer = await this.#session.modelPolicy.POST('/v1/models:invoke', { ...init, body: { request } });
      return { data: (answer.data as { response?: ModelResponse } | undefined)?.response, error: answer.error, response: answer.response };
    });
  }

  /**
   * A chat, as it comes: pieces, then the whole answer as the last event.
   *
   *     for await (const event of agentos.models.stream(request)) {
   *       if (event.type === 'model.delta') process.stdout.write(event.delta.content ?? '');
   *     }
   *
   * @throws ApiError when the call is refused, or when its stream breaks.
   */
  async *stream(request: ModelRequest, options: RequestOptions = {}): AsyncGenerator<ModelStreamDelta | ModelStreamCompleted, void> {
    const call = this.#session.call('stream', options, async (init) => {
      const answer = await this.#session.modelPolicy.POST('/v1/models:invoke', { ...init, body: { request, stream: true }, parseAs: 'stream' });
      return { data: answer.data as ReadableStream<Uint8Array> | null | undefined, error: answer.error, response: answer.response };
    });
    const { data, response } = await call.withResponse();
    yield* readModelStream(data ?? null, response.headers);
  }

  /** What policy says of a text, without calling a model. */
  checkPolicy(check: PolicyCheck, options: RequestOptions = {}): ApiPromise<PolicyResult> {
    return this.#session.call('mutation', options, async (init) => {
      const answer = await this.#session.modelPolicy.POST('/v1/policy:check', { ...init, body: { policy_check: check } });
      return { data: answer.data?.policy_result as PolicyResult | undefined, error: answer.error, response: answer.response };
    });
  }
}
