/** Embedding models behind Bedrock's InvokeModel, each vendor with a form of its own. */
import type { ProviderEmbedAnswer, ProviderEmbedRequest } from '../../ports/provider.ts';
import { asArray, asObject, isCount, type Json } from '../wire/json.ts';
import { embedUsage, readVectors } from '../wire/usage.ts';

/** Sends a body to the model and answers its body. */
export type Invoke = (body: Json) => Promise<unknown>;

const AT_ONCE = 8;
const COHERE_BATCH = 96;

export type Embedder = (request: ProviderEmbedRequest, invoke: Invoke) => Promise<ProviderEmbedAnswer | null>;

/** By the model's id, which may carry a region's prefix or be an ARN; null for a model that embeds nothing we know. */
export function embedderOf(model: string): Embedder | null {
  if (/amazon\.titan-embed-text/.test(model)) return embedByTitan;
  return /cohere\.embed/.test(model) ? embedByCohere : null;
}

/** One text a call. */
async function embedByTitan(request: ProviderEmbedRequest, invoke: Invoke): Promise<ProviderEmbedAnswer | null> {
  const { texts, dimensions } = request;
  const answers = new Array<Json | null>(texts.length).fill(null);
  let next = 0;
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, texts.length) }, async () => {
    for (let index = next++; index < texts.length; index = next++) {
      answers[index] = asObject(await invoke({ inputText: texts[index]!, ...(dimensions === undefined ? {} : { dimensions }) }));
    }
  }));
  const counts = answers.map((answer) => answer?.['inputTextTokenCount']);
  const total = counts.every(isCount) ? counts.reduce((sum, count) => sum + count, 0) : undefined;
  return answerOf(answers.map((answer) => answer?.['embedding']), total, texts);
}

/** Many texts a call; the answer counts nothing. */
async function embedByCohere(request: ProviderEmbedRequest, invoke: Invoke): Promise<ProviderEmbedAnswer | null> {
  const { texts, dimensions } = request;
  const vectors: unknown[] = [];
  for (let start = 0; start < texts.length; start += COHERE_BATCH) {
    const body = asObject(await invoke({
      texts: texts.slice(start, start + COHERE_BATCH), input_type: 'search_document', truncate: 'NONE', ...(dimensions === undefined ? {} : { output_dimension: dimensions }),
    }));
    vectors.push(...(asArray(body?.['embeddings']) ?? asArray(asObject(body?.['embeddings'])?.['float']) ?? []));
  }
  return answerOf(vectors, undefined, texts);
}

function answerOf(raw: readonly unknown[], tokens: number | undefined, texts: readonly string[]): ProviderEmbedAnswer | null {
  const vectors = readVectors(raw, texts.length);
  return vectors === null ? null : { vectors, usage: embedUsage(tokens, texts) };
}
