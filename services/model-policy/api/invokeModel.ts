/**
 * POST /v1/models:invoke (Appendix E.1, E.2, E.4). The canonical form has `request`; without it the body is the flat form
 * of earlier versions (C-11), which is the same call with its answer mirrored at the top.
 *
 * With `stream: true`, or where the caller accepts nothing but events, the answer comes as `model.delta` events and then
 * exactly one `model.completed` or `model.failed`.
 */
import type { ModelInvokeFlat, ModelRequest, ModelResponse } from '../../../generated/types/index.ts';
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { CallOptions, Engine } from '../engine/engine.ts';
import type { AnswerStream } from '../engine/stream.ts';
import { acceptsEvents, canonicalFrames } from '../surfaces/canonical-frames.ts';
import { requireSameTenant, withPolicyContext } from './body-auth.ts';

const DEFAULT_REF = 'tier:balanced';
const REFUSAL_OPERATIONS = new Set(['deny', 'block']);

export function invokeModel(engine: Engine): ModelPolicyHandlers['invokeModel'] {
  return async ({ body, auth: credential, context }) => {
    const canonical = 'request' in body;
    if (canonical) requireSameTenant(credential, body.auth);
    const auth = canonical ? withPolicyContext(credential, body.auth) : credential;
    const request = canonical ? body.request : toRequest(body, context.requestId);
    const options: CallOptions = { signal: context.departure, traceparent: context.traceparent, correlationId: context.correlationId, surface: 'canonical', repeatable: canonical };
    const common = { correlation_id: context.correlationId, traceparent: context.traceparent, tenant_id: auth.tenant_id };
    if (body.stream === true || acceptsEvents(context.headers['accept'])) {
      // An embedding comes in one piece, however it is asked for.
      const answer = request.operation === 'embed' ? whole(await engine.invoke(auth, request, options)) : await engine.stream(auth, request, options);
      return { status: 200, stream: canonicalFrames(answer, request.request_id, common), endsByItself: true };
    }
    const response = await engine.invoke(auth, request, options);
    return { status: 200, body: { response, ...common, ...(canonical ? {} : mirrors(body, response)) } };
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

function whole(response: ModelResponse): AnswerStream {
  return { model: response.route.model, events: (async function* completed() { yield { type: 'completed' as const, response }; })(), response: Promise.resolve(response), charged: () => response.usage };
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
