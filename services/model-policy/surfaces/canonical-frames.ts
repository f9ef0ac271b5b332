/** A streamed answer as canonical callers read it: `model.delta`, then exactly one `model.completed` or `model.failed`. */
import type { ErrorObject, ModelStreamEvent } from '../../../generated/types/index.ts';
import { toHttpError } from '../../platform/http/errors.ts';
import type { SseFrame } from '../../platform/http/operation-types.ts';
import type { AnswerStream } from '../engine/stream.ts';

export interface FrameCommon {
  readonly correlation_id: string;
  readonly traceparent: string;
  readonly tenant_id: string;
}

export async function* canonicalFrames(stream: AnswerStream, requestId: string, common: FrameCommon): AsyncGenerator<SseFrame, void, void> {
  try {
    for await (const event of stream.events) {
      if (event.type === 'content') yield frame({ type: 'model.delta', request_id: requestId, delta: { content: event.text } });
      else if (event.type === 'completed') yield frame({ type: 'model.completed', request_id: requestId, response: event.response, ...common });
      else {
        const call = {
          index: event.index, ...(event.id === undefined ? {} : { tool_call_id: event.id }), ...(event.toolId === undefined ? {} : { tool_id: event.toolId }),
          ...(event.name === undefined ? {} : { name: event.name }), ...(event.argumentsDelta === '' ? {} : { input_delta: event.argumentsDelta }),
        };
        yield frame({ type: 'model.delta', request_id: requestId, delta: { tool_call: call } });
      }
    }
  } catch (error) {
    const { body } = toHttpError(error, common.correlation_id, common.tenant_id);
    const usage = stream.charged();
    const failed = { ...body, error: body.error as ErrorObject } as { error: ErrorObject; policy_outcome?: never };
    yield frame({ type: 'model.failed', request_id: requestId, ...(usage === null ? {} : { usage }), ...failed, correlation_id: common.correlation_id, tenant_id: common.tenant_id });
  }
}

/** Whether a caller who says nothing in the body wants events and not JSON. */
export function acceptsEvents(accept: string | string[] | undefined): boolean {
  return typeof accept === 'string' && accept.includes('text/event-stream') && !accept.includes('application/json') && !accept.includes('*/*');
}

function frame(event: ModelStreamEvent): SseFrame {
  return { event: event.type, data: JSON.stringify(event) };
}
