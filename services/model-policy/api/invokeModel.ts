/**
 * POST /v1/models:invoke (Appendix E.1, E.2, E.4). The canonical form has `request`; without it the body is the flat form
 * of earlier versions (C-11), which is the same call with its answer mirrored at the top.
 */
import type { ModelInvokeFlat, ModelRequest, ModelResponse } from '../../../generated/types/index.ts';
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { Engine } from '../engine/invoke.ts';
import { requireSameTenant } from './body-auth.ts';

const DEFAULT_REF = 'tier:balanced';
const REFUSAL_OPERATIONS = new Set(['deny', 'block']);

export function invokeModel(engine: Engine): ModelPolicyHandlers['invokeModel'] {
  return async ({ body, auth, context }) => {
    const options = { signal: context.signal, traceparent: context.traceparent };
    if ('request' in body) {
      requireSameTenant(auth, body.auth);
      const response = await engine.invoke(auth, body.request, options);
      return { status: 200, body: { response, correlation_id: context.correlationId, traceparent: context.traceparent, tenant_id: auth.tenant_id } };
    }
    const response = await engine.invoke(auth, toRequest(body, context.requestId), options);
    return { status: 200, body: { response, correlation_id: context.correlationId, traceparent: context.traceparent, tenant_id: auth.tenant_id, ...mirrors(body, response) } };
  };
}

/** @throws AgentOsError policy_blocked where the caller asks for a refusal, invalid_request for another operation. */
function toRequest(body: ModelInvokeFlat, requestId: string): ModelRequest {
  if (REFUSAL_OPERATIONS.has(body.operation) || body.options?.deny === true) {
    const outcome = { decision: 'blocked', reasons: ['denied_by_request'], redactions: [] };
    throw new AgentOsError('policy_blocked', { message: 'The request asked to be refused.', details: { reason: 'denied_by_request', policy_outcome: outcome } });
  }
  const base = { request_id: requestId, model_ref: body.model_id === undefined || body.model_id === '' ? DEFAULT_REF : body.model_id };
  const text = body.input?.text ?? '';
  if (body.operation === 'embed') return { ...base, operation: 'embed', input: { texts: [text] } };
  if (body.operation === 'chat') return { ...base, operation: 'chat', input: { messages: [{ role: 'user', content: text }] } };
  throw new AgentOsError('invalid_request', {
    message: `Operation ${body.operation} is not known; it is chat or embed.`,
    details: { errors: [{ path: '/operation', message: 'must be chat or embed' }] },
  });
}

/** `output` and `usage` as readers of the flat form know them. */
function mirrors(body: ModelInvokeFlat, response: ModelResponse) {
  const timestamp = new Date().toISOString();
  const text = 'message' in response.output ? (response.output.message.content ?? '') : '';
  return {
    output: { type: response.output.type === 'chat' ? 'text' : 'embedding', text, echo: body.input?.text ?? '', ts: timestamp },
    usage: {
      prompt_tokens: response.usage.input_tokens,
      completion_tokens: response.usage.output_tokens,
      total_tokens: response.usage.total_tokens,
      model_id: response.route.model,
      provider: response.route.backend,
      timestamp,
    },
  };
}
