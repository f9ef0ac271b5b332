/** Vectors of texts from Model Policy, in the objects of Appendix E. */
import type { ModelRequest } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import { continueTrace, formatTraceparent } from '../../platform/telemetry/trace-context.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { MemoryEmbedding } from '../ports/memory.ts';
import type { ModelCallOptions, ModelPort } from '../ports/model.ts';

/** What the caller knows of the call; a trace of its own begins where there is none. */
export type EmbedCall = Partial<Pick<ModelCallOptions, 'signal' | 'traceparent' | 'correlationId' | 'timeoutMs'>>;

const TIMEOUT_MS = 10_000;
const NEVER = new AbortController().signal;

/** @throws AgentOsError as ModelPort.embed; dependency_unavailable when there is no model, no time, or no vector in the answer. */
export function createEmbedder(model: Pick<ModelPort, 'embed'>, modelRef: string): (auth: AuthContext, text: string, call?: EmbedCall) => Promise<MemoryEmbedding> {
  return async (auth, text, call = {}) => {
    const request = { request_id: newId('req'), operation: 'embed', model_ref: modelRef, input: { texts: [text], encoding_format: 'base64' } } as ModelRequest;
    const response = await model.embed(auth, request, {
      timeoutMs: call.timeoutMs ?? TIMEOUT_MS,
      signal: call.signal ?? NEVER,
      traceparent: call.traceparent ?? formatTraceparent(continueTrace(undefined)),
      correlationId: call.correlationId ?? newId('corr'),
    }).catch(asDependency);
    const embeddings = 'embeddings' in response.output ? response.output.embeddings : [];
    const vector = vectorOf((embeddings[0] as { readonly vector?: unknown } | undefined)?.vector);
    if (response.status !== 'ok' || vector === null) {
      throw new AgentOsError('dependency_unavailable', { message: 'Model Policy answered no vector for the text.', details: { service: 'model-policy', reason: 'empty_model_answer' } });
    }
    return { model: `${response.route.backend}/${response.route.model}`, vector };
  };
}

/** A model that is missing or slow, or a call that is not trusted, is nothing that the caller's own request asked for. */
function asDependency(error: unknown): never {
  if (!(error instanceof AgentOsError) || !['not_found', 'timeout', 'unauthorized'].includes(error.code)) throw error;
  throw new AgentOsError('dependency_unavailable', {
    message: `No vector can be had for memory: ${error.message}`,
    details: { service: 'model-policy', reason: 'no_embedding' },
    cause: error,
  });
}

/** Little-endian 32-bit floats in base64, or plain numbers. */
function vectorOf(value: unknown): Float32Array | null {
  if (Array.isArray(value)) return value.length > 0 ? Float32Array.from(value as number[]) : null;
  if (typeof value !== 'string') return null;
  const bytes = Uint8Array.from(Buffer.from(value, 'base64'));
  return bytes.length > 0 && bytes.length % 4 === 0 ? new Float32Array(bytes.buffer) : null;
}
