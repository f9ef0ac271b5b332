/** Calls to other services and nodes: a span for each, and its id is what the other side is told as the parent of its own. */
import type { Attributes } from '@opentelemetry/api';
import { childTraceparent, spanIdIn, underTraceparent } from './trace-context.ts';
import type { Tracing } from './tracing.ts';

export interface ClientSpan {
  /** For the header of the call. */
  readonly traceparent: string;
  end(failed: boolean, attributes: Attributes): void;
}

/** Without tracing the call stands under the span that makes it: nobody would record another one. */
export function startClientSpan(tracing: Tracing | null, name: string, parent: string): ClientSpan {
  if (tracing === null) return { traceparent: parent, end: () => undefined };
  const traceparent = childTraceparent(parent);
  const startedMs = performance.now();
  return {
    traceparent,
    end: (failed, attributes) => tracing.record({ name, kind: 'client', ...underTraceparent(parent), spanId: spanIdIn(traceparent), durationMs: performance.now() - startedMs, failed, attributes }),
  };
}
