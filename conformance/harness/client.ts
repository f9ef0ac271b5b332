/**
 * A plain client for scenarios: fetch, JSON, and server-sent events read as they come over the wire. It knows nothing
 * of the platform's types on purpose; what a stranger's client would see is what is asserted.
 */
import { createParser } from 'eventsource-parser';

export interface Call {
  readonly method?: string;
  readonly tenant?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Json = any;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed where the answer is JSON; the text otherwise. */
  readonly body: Json;
}

/** @param tenant null sends no X-Tenant-Id. */
export async function call(base: string, path: string, options: Call = {}): Promise<Answer> {
  const answer = await fetch(`${base}${path}`, {
    method: options.method ?? (options.body === undefined ? 'GET' : 'POST'),
    headers: headersOf(options),
    signal: options.signal ?? AbortSignal.timeout(20_000),
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
  });
  const text = await answer.text();
  const isJson = (answer.headers.get('content-type') ?? '').startsWith('application/json');
  return { status: answer.status, headers: answer.headers, body: isJson ? JSON.parse(text) : text };
}

function headersOf(options: Call): Record<string, string> {
  return {
    ...(options.tenant === null ? {} : { 'x-tenant-id': options.tenant ?? 'tnt_demo' }),
    ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
    ...options.headers,
  };
}

export interface StreamFrame {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: Json;
}

export interface StreamReading {
  readonly status: number;
  readonly headers: Headers;
  readonly frames: readonly StreamFrame[];
  /** Everything that came, comments included. */
  readonly raw: string;
  /** The server ended the stream. */
  readonly ended: boolean;
  /** The answer where it was no stream. */
  readonly body: Json;
}

/** Reads a stream until it ends, until `stopAfter` frames have come, or until the time is up. */
export async function readEvents(base: string, path: string, options: Call & { readonly stopAfter?: number; readonly timeoutMs?: number } = {}): Promise<StreamReading> {
  const leave = new AbortController();
  const timer = setTimeout(() => leave.abort(), options.timeoutMs ?? 15_000);
  const frames: StreamFrame[] = [];
  let raw = '';
  let ended = false;
  try {
    const answer = await fetch(`${base}${path}`, { headers: { accept: 'text/event-stream', ...headersOf(options) }, signal: leave.signal });
    if (!(answer.headers.get('content-type') ?? '').startsWith('text/event-stream')) {
      return { status: answer.status, headers: answer.headers, frames, raw, ended: true, body: await answer.json() };
    }
    const parser = createParser({ onEvent: (message) => frames.push({ id: message.id, event: message.event, data: JSON.parse(message.data) }) });
    const decoder = new TextDecoder();
    try {
      for await (const chunk of answer.body!) {
        const text = decoder.decode(chunk as Uint8Array, { stream: true });
        raw += text;
        parser.feed(text);
        if (options.stopAfter !== undefined && frames.length >= options.stopAfter) break;
      }
      ended = options.stopAfter === undefined || frames.length < options.stopAfter;
    } catch (error) {
      if (!leave.signal.aborted) throw error;
    }
    return { status: answer.status, headers: answer.headers, frames, raw, ended, body: null };
  } finally {
    clearTimeout(timer);
    leave.abort();
  }
}

const TERMINAL = ['completed', 'failed', 'canceled'];

/** Polls a run until it has ended; answers its last state. */
export async function untilEnded(base: string, runId: string, options: Call & { readonly timeoutMs?: number } = {}): Promise<Json> {
  const deadline = Date.now() + (options.timeoutMs ?? 15_000);
  for (;;) {
    const { status, body } = await call(base, `/v1/runs/${runId}`, { ...options, method: 'GET' });
    if (status !== 200) throw new Error(`GET run ${runId}: ${status} ${JSON.stringify(body)}`);
    if (TERMINAL.includes(body.run.status as string)) return body.run;
    if (Date.now() > deadline) throw new Error(`Run ${runId} is still ${body.run.status} after ${options.timeoutMs ?? 15_000} ms.`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
