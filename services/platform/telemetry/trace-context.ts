/**
 * W3C Trace Context, level 1: `traceparent` in and out.
 *
 * Reading is lenient, as the recommendation asks: a header that cannot be used starts a new trace and is no error.
 */
import { randomFillSync } from 'node:crypto';

export interface TraceContext {
  /** 32 lower-case hexadecimal characters, never all zero. */
  readonly traceId: string;
  /** 16 lower-case hexadecimal characters: this span. */
  readonly spanId: string;
  /** The caller's span, null at the root of a trace. */
  readonly parentSpanId: string | null;
  readonly sampled: boolean;
}

const PATTERN = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/;
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);

/** The caller's trace, or null when the header is absent or unusable. */
export function parseTraceparent(header: string | undefined): { readonly traceId: string; readonly spanId: string; readonly sampled: boolean } | null {
  if (header === undefined || header.length < 55 || header.length > 512) return null;
  const match = PATTERN.exec(header);
  if (match === null) return null;
  const [, version, traceId, spanId, flags] = match as unknown as [string, string, string, string, string];
  if (version === 'ff' || traceId === NO_TRACE || spanId === NO_SPAN) return null;
  if (version === '00' && header.length !== 55) return null;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** A new span in the caller's trace, or the root span of a new trace. */
export function continueTrace(header: string | undefined): TraceContext {
  const parent = parseTraceparent(header);
  if (parent === null) return { traceId: randomHex(16), spanId: randomHex(8), parentSpanId: null, sampled: true };
  return { traceId: parent.traceId, spanId: randomHex(8), parentSpanId: parent.spanId, sampled: parent.sampled };
}

/** The header that says: this span is the parent. */
export function formatTraceparent(trace: Pick<TraceContext, 'traceId' | 'spanId' | 'sampled'>): string {
  return `00-${trace.traceId}-${trace.spanId}-${trace.sampled ? '01' : '00'}`;
}

export const newSpanId = (): string => randomHex(8);

/** Of one that this process has written: what a span right under it is recorded with. */
export function underTraceparent(traceparent: string): { readonly traceId: string; readonly parentSpanId: string; readonly sampled: boolean } {
  return { traceId: traceparent.slice(3, 35), parentSpanId: spanIdIn(traceparent), sampled: traceparent.endsWith('1') };
}

export const spanIdIn = (traceparent: string): string => traceparent.slice(36, 52);

/** A new span id under the same trace. Whoever tells it to somebody else records that span, or the trace falls apart. */
export function childTraceparent(traceparent: string): string {
  // One that this process has written stays as it is but for the span.
  if (traceparent.length === 55 && traceparent.startsWith('00-')) return `${traceparent.slice(0, 36)}${randomHex(8)}${traceparent.slice(52)}`;
  return formatTraceparent(continueTrace(traceparent));
}

/** Identifiers only need to be unique, so one system call fills a few hundred of them. */
const random = Buffer.alloc(4096);
let used = random.length;

function randomHex(bytes: number): string {
  if (used + bytes > random.length) {
    randomFillSync(random);
    used = 0;
  }
  const hex = random.toString('hex', used, used + bytes);
  used += bytes;
  return hex;
}
