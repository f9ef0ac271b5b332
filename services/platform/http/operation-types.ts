/**
 * The vocabulary between the generated operation tables and the one pipeline.
 *
 * `generated/handlers/<service>.ts` exports a table of `OperationRow` and a `…Handlers` interface built from
 * `Handler<…>`; a service's `api/index.ts` ends in `satisfies …Handlers`, so an operation without a handler
 * does not compile; `operation.ts` runs every request through its row.
 */
import type { Logger } from 'pino';
import type { DepartureSignal } from '../departure.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';

/** A compiled validator (ajv standalone). `errors` is set after a call that returned false. */
export interface Validator {
  (value: unknown): boolean;
  errors?: null | ReadonlyArray<{ instancePath: string; schemaPath: string; keyword: string; message?: string; params: Record<string, unknown> }>;
}

/**
 * Who may call: `none` open to anyone (health) · `tenant` one tenant, which must exist and be active ·
 * `platform` administration: a principal is needed, the tenant it names need not exist.
 */
export type Tenancy = 'none' | 'tenant' | 'platform';

/** `none` safe method · `natural` repeating it changes nothing more · `key` honours an idempotency key. */
export type Idempotency = 'none' | 'natural' | 'key';

/** The bucket a call draws from; the numbers stand in configuration and the tenant's quotas, not here. */
export type RateLimitClass = 'none' | 'read' | 'write' | 'run_create' | 'stream' | 'invoke' | 'admin';

export type ErrorShape = 'agentos' | 'openai';

/** One operation as the specs declare it. Generated, never written by hand. */
export interface OperationRow {
  readonly operationId: string;
  /** The operation whose handler serves this path; equal to `operationId` unless this row is an alias. */
  readonly handledBy: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** OpenAPI template, e.g. `/v1/runs/{run_id}:cancel`. */
  readonly path: string;
  /** All are needed. Empty means that no scope is needed. */
  readonly scopes: readonly string[];
  readonly tenancy: Tenancy;
  readonly idempotency: Idempotency;
  readonly rateLimit: RateLimitClass;
  /** Enters the pipeline straight from node:http, ahead of Express. */
  readonly hot: boolean;
  /** Specified, not built: the pipeline answers 501 `not_implemented`. */
  readonly planned: boolean;
  /** The parameter that ends the path may hold slashes, percent-encoded. */
  readonly slashed?: boolean;
  /** The body of the request; null where the operation takes none. */
  readonly body: null | { readonly required: boolean; readonly contentTypes: readonly string[] };
  /** Answers `text/event-stream`: always, or, where `produces` is another type, when the request asks for it. */
  readonly streams: boolean;
  /** How errors of this operation look; `openai`: as OpenAI's clients read them, with the error model's members beside. */
  readonly errorShape: ErrorShape;
  /** Content type of the success answer: `application/json`, `text/event-stream`, `text/plain`. */
  readonly produces: string;
  /** Every status the contract declares for this operation. */
  readonly statuses: readonly number[];
  /** Path, query and header validators coerce strings to the declared types in place. */
  readonly validatePath: Validator | null;
  readonly validateQuery: Validator | null;
  readonly validateHeaders: Validator | null;
  readonly validateBody: Validator | null;
  /** By status, for JSON answers. */
  readonly validateResponse: Readonly<Record<number, Validator>>;
}

/** What the pipeline knows of a request beside its validated members. */
export interface RequestContext {
  readonly correlationId: string;
  readonly requestId: string;
  /** W3C trace context of this request: the caller's trace continued, or a new one. */
  readonly traceparent: string;
  /** Aborted when the client goes away or the server stops. */
  readonly signal: AbortSignal;
  /** The same, for those who are called often and only need to hear of it. */
  readonly departure: DepartureSignal;
  readonly log: Logger;
  /** From the `Idempotency-Key` header; the body's own member, where a schema has one, wins. */
  readonly idempotencyKey: string | null;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly operationId: string;
  /** The caller's network address, for audit. */
  readonly remoteAddress: string | null;
}

/** The request as a handler sees it: authenticated, scoped, validated, coerced. */
export interface HandlerRequest<Path = unknown, Query = unknown, Body = unknown> {
  readonly path: Path;
  readonly query: Query;
  readonly body: Body;
  /** The caller. For `tenancy: none` operations this is the anonymous context; do not use it there. */
  readonly auth: AuthContext;
  readonly context: RequestContext;
}

/** One server-sent event; `comment` frames keep a connection alive. */
export type SseFrame =
  /** `wire` is the same frame as `formatFrame` writes it, where a producer shares one frame between streams. */
  | { readonly id?: string; readonly event?: string; readonly data: string; readonly wire?: string }
  | { readonly comment: string };

/** What a handler returns. It never touches the response object. */
export interface JsonResult<Status extends number = number, Body = unknown> {
  readonly status: Status;
  readonly body: Body;
  readonly headers?: Readonly<Record<string, string>>;
}
/**
 * A stream: the pipeline pulls frames, waits for drain, and ends the response when the iterable ends. What can still be
 * answered by a status must be thrown before this is returned; afterwards an error can only be a frame. The context's
 * signal is aborted when nobody reads any more, also when the stream was never begun.
 */
export interface StreamResult {
  readonly status: 200;
  readonly stream: AsyncIterable<SseFrame>;
  /** It cannot be resumed and ends soon: a stopping server lets it end, within its time to drain, instead of cutting it. */
  readonly endsByItself?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}
/** Plain text, for metrics. */
export interface TextResult {
  readonly status: 200;
  readonly text: string;
  readonly contentType: string;
}
/** Records, one a line, for exports that are too long to hold. Cut off, and not ended, when they break on the way. */
export interface LinesResult {
  readonly status: 200;
  /** Each without its line break. */
  readonly lines: AsyncIterable<string>;
  /** e.g. `application/x-ndjson`. */
  readonly contentType: string;
  readonly headers?: Readonly<Record<string, string>>;
}
export type HandlerResult = JsonResult | StreamResult | TextResult | LinesResult;

export type Handler<Request extends HandlerRequest<never, never, never> | HandlerRequest, Result extends HandlerResult> = (
  request: Request,
) => Promise<Result> | Result;

/** A handler with its types erased, as the pipeline calls it. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyHandler = (request: any) => Promise<HandlerResult> | HandlerResult;
