/**
 * A tenant's memory as the API and tools use it: the port, with what a store cannot know. The limit in bytes comes from
 * the tenant's plan, vectors from Model Policy, always before the store is asked and never inside its transaction.
 *
 * Hybrid search asks by words and by meaning at once and merges the two by reciprocal rank fusion (Cormack, Clarke and
 * Büttcher 2009): an item scores 1/(60 + its rank) in each answer that has it. Ranks can be compared where scores of
 * two kinds cannot.
 */
import type { Tenant } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { effectiveQuotas, type QuotaDefaults } from '../../platform/tenancy/quotas.ts';
import type { MemoryFilter, MemoryItem, MemoryMatch, MemoryPort, MemoryWrite } from '../ports/memory.ts';
import type { ModelPort } from '../ports/model.ts';
import { createEmbedder, type EmbedCall } from './embedder.ts';
import { textOfJson } from './text.ts';

export type { EmbedCall } from './embedder.ts';

export type SearchMode = 'keyword' | 'vector' | 'hybrid';

export interface MemoryInput extends Omit<MemoryWrite, 'embedding' | 'maxBytes'> {
  /** Give the item a vector, so that it is found by meaning as well. */
  readonly embed?: boolean;
}

export interface MemoryQuestion {
  readonly query: string;
  /** Hybrid where the namespace has vectors and keyword elsewhere, when absent; keyword too while no vector can be had. */
  readonly mode?: SearchMode;
  /** 10 when absent. */
  readonly limit?: number;
  readonly filter?: MemoryFilter;
  /** In the scores of the mode. */
  readonly minScore?: number;
}

export interface MemoryHit {
  readonly item: MemoryItem;
  readonly score: number;
  readonly matched: 'keyword' | 'vector' | 'both';
}

export interface MemoryAnswer {
  /** What was done, which the question may have left open. */
  readonly mode: SearchMode;
  readonly results: readonly MemoryHit[];
}

export interface Memory extends Pick<MemoryPort, 'get' | 'delete' | 'list' | 'namespaces'> {
  /** @throws AgentOsError as MemoryPort.put, and as ModelPort.embed when `embed` is set: nothing is stored then. */
  put(auth: AuthContext, item: MemoryInput, call?: EmbedCall): Promise<MemoryItem & { readonly created: boolean }>;
  /** @throws AgentOsError as ModelPort.embed when the question names a mode that needs a vector. */
  search(auth: AuthContext, namespace: string, question: MemoryQuestion, call?: EmbedCall): Promise<MemoryAnswer>;
  /** `bytesLimit` is null when the tenant is not limited. */
  usage(auth: AuthContext): Promise<{ readonly items: number; readonly bytes: number; readonly bytesLimit: number | null }>;
}

export interface MemoryDependencies {
  readonly memory: MemoryPort;
  readonly model: Pick<ModelPort, 'embed'>;
  readonly directory: { getTenant(auth: AuthContext, tenantId: string): Promise<Pick<Tenant, 'quotas'> | null> };
  readonly quotaDefaults: QuotaDefaults;
  /** The model_ref that items and questions are embedded with; `tier:balanced` when absent. */
  readonly embeddingModelRef?: string;
}

const DEFAULT_LIMIT = 10;
/** Ranks below this one add next to nothing to a fused score. */
const FUSED_DEPTH = 50;
const FUSION_CONSTANT = 60;

export function createMemory(dependencies: MemoryDependencies): Memory {
  const { memory, directory, quotaDefaults } = dependencies;
  const embed = createEmbedder(dependencies.model, dependencies.embeddingModelRef ?? 'tier:balanced');
  const bytesLimit = async (auth: AuthContext): Promise<number | null> => effectiveQuotas((await directory.getTenant(auth, auth.tenant_id)) ?? {}, quotaDefaults).maxMemoryBytes;
  return {
    get: (auth, namespace, key) => memory.get(auth, namespace, key),
    delete: (auth, namespace, key) => memory.delete(auth, namespace, key),
    list: (auth, namespace, query) => memory.list(auth, namespace, query),
    namespaces: (auth, query) => memory.namespaces(auth, query),
    async put(auth, { embed: wanted, ...item }, call) {
      const [maxBytes, embedding] = await Promise.all([bytesLimit(auth), wanted === true ? embed(auth, item.text ?? textOfValue(item.value), call) : undefined]);
      return memory.put(auth, { ...item, maxBytes, ...(embedding === undefined ? {} : { embedding }) });
    },
    async search(auth, namespace, question, call) {
      const limit = question.limit ?? DEFAULT_LIMIT;
      const { mode, results } = await answer(auth, namespace, question, limit, call);
      return { mode, results: results.filter(({ score }) => score >= (question.minScore ?? Number.NEGATIVE_INFINITY)).slice(0, limit) };
    },
    async usage(auth) {
      const [used, limit] = await Promise.all([memory.usage(auth), bytesLimit(auth)]);
      return { ...used, bytesLimit: limit };
    },
  };

  async function answer(auth: AuthContext, namespace: string, question: MemoryQuestion, limit: number, call: EmbedCall | undefined): Promise<MemoryAnswer> {
    const { query, mode, filter } = question;
    const narrowed = filter === undefined ? {} : { filter };
    const byWords = (depth: number): Promise<readonly MemoryMatch[]> => memory.search(auth, namespace, { text: query, limit: depth, ...narrowed });
    const byMeaning = async (depth: number): Promise<readonly MemoryMatch[]> => memory.searchByVector(auth, namespace, { embedding: await embed(auth, query, call), limit: depth, ...narrowed });
    const depth = Math.max(limit, FUSED_DEPTH);
    if (mode === 'vector') return { mode, results: (await byMeaning(limit)).map(hit('vector')) };
    if (mode === 'hybrid') {
      const [words, meaning] = await Promise.all([byWords(depth), byMeaning(depth)]);
      return { mode, results: fuse(words, meaning) };
    }
    if (mode === undefined && (await hasVectors(auth, namespace))) {
      const [words, meaning] = await Promise.all([byWords(depth), byMeaning(depth).catch(noneWhileUnavailable)]);
      if (meaning !== null) return { mode: 'hybrid', results: fuse(words, meaning) };
      return { mode: 'keyword', results: words.map(hit('keyword')) };
    }
    return { mode: 'keyword', results: (await byWords(limit)).map(hit('keyword')) };
  }

  async function hasVectors(auth: AuthContext, namespace: string): Promise<boolean> {
    return memory.capabilities().features.includes('vector_search') && (await memory.embeddings(auth, namespace)).length > 0;
  }
}

/** Who named no mode is better served by words alone than by an error. */
function noneWhileUnavailable(error: unknown): null {
  if (error instanceof AgentOsError && ['dependency_unavailable', 'rate_limited', 'quota_exceeded', 'forbidden'].includes(error.code)) return null;
  throw error;
}

const textOfValue = (value: unknown): string => textOfJson(JSON.stringify(value ?? null));

function hit(matched: MemoryHit['matched']): (match: MemoryMatch) => MemoryHit {
  return ({ score, ...item }) => ({ item, score, matched });
}

/** Best first; equal scores by the keys' bytes. */
export function fuse(words: readonly MemoryMatch[], meaning: readonly MemoryMatch[]): readonly MemoryHit[] {
  const fused = new Map<string, MemoryHit>();
  for (const [matched, matches] of [['keyword', words], ['vector', meaning]] as const) {
    for (const [index, match] of matches.entries()) {
      const share = 1 / (FUSION_CONSTANT + index + 1);
      const other = fused.get(match.key);
      fused.set(match.key, other === undefined ? { ...hit(matched)(match), score: share } : { ...other, score: other.score + share, matched: 'both' });
    }
  }
  return [...fused.values()]
    .map((one) => ({ ...one, score: Math.round(one.score * 1_000_000) / 1_000_000 }))
    .sort((a, b) => b.score - a.score || Buffer.compare(Buffer.from(a.item.key), Buffer.from(b.item.key)));
}
