/**
 * Models on AWS Bedrock: chat by Converse and ConverseStream, embeddings of Amazon Titan and Cohere by InvokeModel. The
 * runtime API lists no models, so configuration names them.
 */
import type { DepartureSignal } from '../../platform/departure.ts';
import type { ConverseStreamOutput } from '@aws-sdk/client-bedrock-runtime';
import { request as httpRequest } from 'undici';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { ProviderCallOptions, ProviderChatAnswer, ProviderChatRequest, ProviderChunk, ProviderEmbedAnswer, ProviderEmbedRequest, ProviderModel, ProviderPort } from '../ports/provider.ts';
import { loadBedrock, type BedrockSettings, type LoadedBedrock } from './bedrock/client.ts';
import { ConverseStreamReader, readConverse, toConverseInput } from './bedrock/converse.ts';
import { embedderOf } from './bedrock/embeddings.ts';
import { bedrockFailure } from './bedrock/failures.ts';
import { CallWatch } from './bedrock/watch.ts';
import { parseBaseUrl } from './wire/base-url.ts';
import { badAnswer, notOffered, streamTruncated } from './wire/failures.ts';
import { parseJson } from './wire/json.ts';
import { CallIds, FunctionNames } from './wire/tools.ts';

export interface AwsBedrockSettings extends BedrockSettings {
  /** What configuration says is there. */
  readonly models: readonly ProviderModel[];
}

const IDLE_TIMEOUT_MS = 30_000;

export class AwsBedrockProvider implements ProviderPort {
  readonly backend: string;
  readonly node: string;
  private readonly settings: AwsBedrockSettings;
  private loaded: Promise<LoadedBedrock> | null = null;

  /** @throws Error for a region or base URL that cannot be used. */
  constructor(settings: AwsBedrockSettings) {
    if (!/^[a-z]{2}(?:-[a-z]+)+-\d$/.test(settings.region)) throw new Error(`the region is '${settings.region}'; it must be one of AWS, such as us-east-1`);
    this.backend = settings.backend;
    this.settings = { ...settings, idleTimeoutMs: settings.idleTimeoutMs ?? IDLE_TIMEOUT_MS };
    this.node = settings.baseUrl === undefined ? settings.region : parseBaseUrl(settings.baseUrl).host;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'aws-bedrock', contractVersion: '1.1', durable: false, features: ['chat', 'stream', 'embed', 'tools', 'stop', 'json_schema', 'dimensions'] };
  }

  models(): Promise<readonly ProviderModel[]> {
    return Promise.resolve(this.settings.models);
  }

  async chat(_auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): Promise<ProviderChatAnswer> {
    const names = new FunctionNames(request.tools);
    const output = await this.watched(options.signal, async ({ sdk, client }, watch) => client.send(new sdk.ConverseCommand(toConverseInput(request, names)), { abortSignal: watch.signal }));
    const answer = readConverse(output, request, names, new CallIds(options.traceparent, request.messages));
    if (answer === null) throw badAnswer(this.backend, 'an answer without a message');
    return answer;
  }

  async *chatStream(_auth: AuthContext, request: ProviderChatRequest, options: ProviderCallOptions): AsyncGenerator<ProviderChunk, void, void> {
    const names = new FunctionNames(request.tools);
    const reader = new ConverseStreamReader(request, names, new CallIds(options.traceparent, request.messages));
    const watch = new CallWatch(options.signal, this.settings.timeoutMs, this.settings.firstByteTimeoutMs ?? null);
    let opened = false;
    let isComplete = false;
    try {
      const { sdk, client } = await this.load();
      const { stream } = await client.send(new sdk.ConverseStreamCommand(toConverseInput(request, names)), { abortSignal: watch.signal });
      opened = true;
      for await (const event of this.watchedEvents(stream ?? [], watch)) for (const chunk of reader.read(event)) yield chunk;
      const last = reader.end();
      if (last === null) throw streamTruncated(this.backend);
      isComplete = true;
      for (const chunk of last) yield chunk;
    } catch (error) {
      throw bedrockFailure(this.settings, error, watch, opened);
    } finally {
      watch.end(isComplete);
    }
  }

  async embed(_auth: AuthContext, request: ProviderEmbedRequest, options: ProviderCallOptions): Promise<ProviderEmbedAnswer> {
    const embed = embedderOf(request.model);
    if (embed === null) throw notOffered(this.backend, `embeddings by the model ${request.model}; it has those of amazon.titan-embed-text and cohere.embed`);
    const answer = await this.watched(options.signal, ({ sdk, client }, watch) => embed(request, async (body) => {
      const output = await client.send(new sdk.InvokeModelCommand({ modelId: request.model, contentType: 'application/json', accept: 'application/json', body: JSON.stringify(body) }), { abortSignal: watch.signal });
      return parseJson(Buffer.from(output.body).toString('utf8'));
    }));
    if (answer === null) throw badAnswer(this.backend, 'embeddings that do not match the texts');
    return answer;
  }

  /** Whether the endpoint answers. What it says to a stranger does not matter, and a call that it would charge for is not made. */
  async health(signal: AbortSignal): Promise<{ readonly ok: boolean; readonly cause?: unknown }> {
    try {
      const { client } = await this.load();
      const endpoint = this.settings.baseUrl ?? client.config.endpointProvider({ Region: this.settings.region, UseDualStack: false, UseFIPS: false }).url.href;
      const { statusCode, body } = await httpRequest(endpoint, { signal, method: 'GET' });
      await body.dump();
      return statusCode < 500 ? { ok: true } : { ok: false, cause: new Error(`The endpoint answers ${statusCode}.`) };
    } catch (cause) {
      return { ok: false, cause };
    }
  }

  async close(): Promise<void> {
    (await this.loaded?.catch(() => null))?.client.destroy();
  }

  private load(): Promise<LoadedBedrock> {
    this.loaded ??= loadBedrock(this.settings);
    return this.loaded;
  }

  private async watched<Answer>(signal: DepartureSignal, work: (bedrock: LoadedBedrock, watch: CallWatch) => Promise<Answer>): Promise<Answer> {
    const watch = new CallWatch(signal, this.settings.timeoutMs, null);
    let isComplete = false;
    try {
      const answer = await work(await this.load(), watch);
      isComplete = true;
      return answer;
    } catch (error) {
      throw bedrockFailure(this.settings, error, watch, false);
    } finally {
      watch.end(isComplete);
    }
  }

  private async *watchedEvents(stream: AsyncIterable<ConverseStreamOutput> | readonly ConverseStreamOutput[], watch: CallWatch): AsyncGenerator<ConverseStreamOutput, void, void> {
    for await (const event of stream) {
      watch.arrived();
      yield event;
      watch.expectWithin(this.settings.idleTimeoutMs!);
    }
    watch.arrived();
  }
}
