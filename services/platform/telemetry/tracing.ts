/**
 * Traces over OTLP (PRS 9.1): a span for each request that a service serves, and those that it makes itself of runs and
 * model calls, all under the trace of the caller's `traceparent`, sent in batches to OTEL_EXPORTER_OTLP_ENDPOINT.
 *
 * Spans are made by hand when their work has ended, from what is known then: nothing is patched and no context is carried
 * along, which is what makes automatic instrumentation cost as much as the request itself. Without an endpoint nothing of
 * OpenTelemetry is even loaded. Spans hold names, ids and numbers; never content. What a collector cannot take in time is
 * dropped: work does not wait for its trace.
 */
import type { Attributes } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import type { Logger } from 'pino';
import type { Config } from '../config/load.ts';
import { newSpanId } from './trace-context.ts';

export interface FinishedSpan {
  readonly name: string;
  readonly kind: 'server' | 'client' | 'internal';
  /** 32 hexadecimal characters. */
  readonly traceId: string;
  /** A new one when absent. */
  readonly spanId?: string;
  readonly parentSpanId: string | null;
  readonly sampled: boolean;
  /** Of its end: now. */
  readonly durationMs: number;
  readonly failed: boolean;
  readonly attributes: Attributes;
}

export interface Tracing {
  record(span: FinishedSpan): void;
  /** Sends what waits, for a few seconds at most. */
  close(): Promise<void>;
}

/** `SpanKind` of the API, which is an enum there. */
const KIND = { internal: 0, server: 1, client: 2 } as const;
const ERROR = { code: 2 } as const;
const UNSET = { code: 0 } as const;
const EXPORT_TIMEOUT_MS = 5_000;

/** null: no endpoint is named. */
export async function openTracing(values: Pick<Config['values'], 'OTEL_EXPORTER_OTLP_ENDPOINT' | 'OTEL_SERVICE_NAME'>, service: string, version: string, log: Logger): Promise<Tracing | null> {
  const endpoint = values.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (endpoint === undefined) return null;
  const [{ BatchSpanProcessor }, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/sdk-trace-base'), import('@opentelemetry/exporter-trace-otlp-http'), import('@opentelemetry/resources'),
  ]);
  const url = `${endpoint.replace(/\/$/, '')}/v1/traces`;
  const resource = resourceFromAttributes({ 'service.name': values.OTEL_SERVICE_NAME ?? service, 'service.namespace': 'agentos', 'service.version': version });
  const processor = new BatchSpanProcessor(new OTLPTraceExporter({ url, timeoutMillis: EXPORT_TIMEOUT_MS }), { scheduledDelayMillis: 1_000, maxQueueSize: 8_192, maxExportBatchSize: 512, exportTimeoutMillis: EXPORT_TIMEOUT_MS });
  const instrumentationScope = { name: 'agentos', version };
  log.info({ url }, 'Traces are sent.');
  return {
    record(span) {
      if (!span.sampled) return;
      const endMs = Date.now();
      const context = (spanId: string) => ({ traceId: span.traceId, spanId, traceFlags: 1 });
      const own = context(span.spanId ?? newSpanId());
      const readable: ReadableSpan = {
        name: span.name, kind: KIND[span.kind], spanContext: () => own,
        ...(span.parentSpanId === null ? {} : { parentSpanContext: context(span.parentSpanId) }),
        startTime: hrTime(endMs - span.durationMs), endTime: hrTime(endMs), duration: hrTime(span.durationMs), ended: true,
        status: span.failed ? ERROR : UNSET, attributes: span.attributes, links: [], events: [], resource, instrumentationScope,
        droppedAttributesCount: 0, droppedEventsCount: 0, droppedLinksCount: 0,
      };
      processor.onEnd(readable);
    },
    close: () => processor.shutdown().catch((error: unknown) => log.warn({ err: error, url }, 'The last traces could not be sent.')),
  };
}

/** Seconds and nanoseconds. */
function hrTime(ms: number): [number, number] {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.round((ms - seconds * 1_000) * 1e6)];
}
