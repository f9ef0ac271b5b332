/** Requests to a service of this or another node: what may be read of an answer, and what a refusal means to the caller. */
import { request, type Dispatcher } from 'undici';
import { ERROR_CODES } from '../../../generated/types/error-codes.ts';
import type { ErrorResponse } from '../../../generated/types/index.ts';
import { AgentOsError, type ErrorCode } from '../../platform/errors.ts';
import { startClientSpan } from '../../platform/telemetry/client-span.ts';
import type { Tracing } from '../../platform/telemetry/tracing.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PeerCall } from '../ports/peer.ts';
import { handshakeFailure, isClosedWithoutAWord } from '../trust/handshake-failures.ts';

export interface NodeRequest {
  /** What is asked for, as the port calls it; names the span. */
  readonly operation: string;
  readonly method: 'GET' | 'POST';
  /** Absolute, as `new URL` writes it. */
  readonly url: string;
  readonly body?: unknown;
}

/** One service of one node. */
export interface NodeService {
  /** Stack id; stands in `details.peer` of whatever goes wrong. */
  readonly stackId: string;
  readonly dispatcher: Dispatcher;
  /** For answers that last. Absent: the same one. */
  readonly streams?: Dispatcher;
  /** Whether the node answers a new connection at all; null: it cannot be said. Absent: nothing stands between connecting and being heard. */
  readonly accepts?: (origin: string) => Promise<boolean | null>;
  /** Headers that say who calls. @param body the very bytes that are sent; null where there are none */
  credentials(auth: AuthContext, request: NodeRequest, body: Uint8Array | null): Promise<Readonly<Record<string, string>>>;
  /** For an answer to come whole. */
  readonly timeoutMs: number;
  /** null: nobody keeps traces. */
  readonly tracing: Tracing | null;
}

/** Far more than any run or description is. */
const MOST_BYTES = 16 * 1024 * 1024;
/** Streams carry a comment every 15 s. */
const SILENCE_MS = 60_000;

/** The JSON of an answer below 400. @throws AgentOsError as `PeerPort` says. */
export async function askNode(service: NodeService, auth: AuthContext, asked: NodeRequest, call: PeerCall): Promise<unknown> {
  const timeout = AbortSignal.timeout(service.timeoutMs);
  try {
    const answer = await send(service, auth, asked, { ...call, signal: AbortSignal.any([call.signal, timeout]) }, service.timeoutMs);
    const text = await readText(answer.body);
    if (answer.statusCode >= 400) throw refusal(service.stackId, answer.statusCode, answer.headers['retry-after'], text);
    return JSON.parse(text);
  } catch (error) {
    throw await explained(service, asked, error, timeout.aborted ? `did not answer within ${service.timeoutMs} ms` : 'cannot be reached');
  }
}

/** The body of a stream that the node has accepted. @throws AgentOsError as `PeerPort` says. */
export async function openNodeStream(service: NodeService, auth: AuthContext, asked: NodeRequest, call: PeerCall): Promise<AsyncIterable<Uint8Array>> {
  try {
    const answer = await send({ ...service, dispatcher: service.streams ?? service.dispatcher }, auth, asked, call, SILENCE_MS);
    if (answer.statusCode >= 400) throw refusal(service.stackId, answer.statusCode, answer.headers['retry-after'], await readText(answer.body));
    if (String(answer.headers['content-type']).startsWith('text/event-stream')) return answer.body;
    answer.body.destroy();
    throw impossible(service.stackId, 'it answered no stream');
  } catch (error) {
    throw await explained(service, asked, error, 'cannot be reached');
  }
}

async function send(service: NodeService, auth: AuthContext, asked: NodeRequest, call: PeerCall, bodyTimeoutMs: number): Promise<Dispatcher.ResponseData> {
  const body = asked.body === undefined ? null : Buffer.from(JSON.stringify(asked.body));
  const span = startClientSpan(service.tracing, asked.operation, call.traceparent);
  const headers = {
    accept: 'application/json, text/event-stream',
    'x-correlation-id': call.correlationId,
    traceparent: span.traceparent,
    ...(body === null ? {} : { 'content-type': 'application/json' }),
    ...(await service.credentials(auth, asked, body)),
  };
  const attributes = { 'http.request.method': asked.method, 'server.address': new URL(asked.url).host, 'agentos.peer': service.stackId, 'agentos.tenant_id': auth.tenant_id, 'agentos.correlation_id': call.correlationId };
  try {
    const answer = await request(asked.url, { method: asked.method, headers, body, dispatcher: service.dispatcher, signal: call.signal, headersTimeout: service.timeoutMs, bodyTimeout: bodyTimeoutMs });
    answer.body.once('close', () => span.end(answer.statusCode >= 400, { ...attributes, 'http.response.status_code': answer.statusCode }));
    return answer;
  } catch (error) {
    span.end(true, attributes);
    throw error;
  }
}

async function readText(body: Dispatcher.ResponseData['body']): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) throw new Error(`the answer is longer than ${MOST_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * What a node may say to a caller of this one. The other codes are between the nodes, or would be read as this node's own
 * word: on the caller's credential, on the methods of its path.
 */
const RELAYED: ReadonlySet<ErrorCode> = new Set(['forbidden', 'not_found', 'conflict', 'invalid_request', 'invalid_state_transition', 'tenant_unknown', 'tenant_mismatch', 'rate_limited', 'quota_exceeded', 'policy_blocked']);
/** Far more than any refusal of ours needs, so that nobody is sent a book. */
const LONGEST_MESSAGE = 2_000;
const LONGEST_DETAILS = 16_384;
const LONGEST_PAUSE_SECONDS = 86_400;

/**
 * What a status of 400 or more means. A refusal is the node's own, in its words; 5xx, and what does not speak our error
 * model, is a node that does not work. A refusal of *this node* is no fault of the caller's credential: it is told as a
 * dependency that trying again does not mend.
 */
function refusal(stackId: string, status: number, retryAfter: string | string[] | undefined, text: string): AgentOsError {
  const told = parsed(text)?.error;
  const seconds = Number(retryAfter);
  const pause = retryAfter !== undefined && Number.isFinite(seconds) ? { retryAfterSeconds: Math.min(LONGEST_PAUSE_SECONDS, Math.max(0, seconds)) } : {};
  const known = typeof told?.code === 'string' && Object.hasOwn(ERROR_CODES, told.code);
  if (status === 401) return unusable(stackId, `${stackId} does not accept the credential of this node. Its operator finds the reason in its log under the same correlation id.`, { reason: known ? (told.details?.['reason'] ?? told.code) : 'unauthorized', status });
  if (status === 501) return unusable(stackId, `${stackId} does not serve this operation.`, { reason: 'not_supported', status });
  const code = known ? (told.code as ErrorCode) : null;
  if (code === null || !RELAYED.has(code) || !(ERROR_CODES[code].statuses as readonly number[]).includes(status)) return unavailable(stackId, `${stackId} answered ${status}.`, told, { status, ...(code === null ? {} : { answered: code }) }, pause);
  return new AgentOsError(code, {
    message: typeof told!.message === 'string' ? told!.message.slice(0, LONGEST_MESSAGE) : `${stackId} answered ${status}.`,
    details: { ...detailsOf(told!.details), peer: stackId },
    ...(typeof told!.retryable === 'boolean' ? { retryable: told!.retryable } : {}),
    ...pause,
  });
}

function detailsOf(details: unknown): Readonly<Record<string, unknown>> {
  const isObject = typeof details === 'object' && details !== null && !Array.isArray(details);
  return isObject && JSON.stringify(details).length <= LONGEST_DETAILS ? (details as Record<string, unknown>) : {};
}

function parsed(text: string): Partial<ErrorResponse> | null {
  try {
    return JSON.parse(text) as Partial<ErrorResponse> | null;
  } catch {
    return null;
  }
}

async function explained({ stackId, accepts }: NodeService, { url }: NodeRequest, error: unknown, what: string): Promise<AgentOsError> {
  if (error instanceof AgentOsError) return error;
  const accepted = accepts !== undefined && isClosedWithoutAWord(error) ? await accepts(new URL(url).origin) : null;
  const unmet = handshakeFailure(stackId, error, accepted);
  if (unmet !== null) return unmet;
  const { code } = error as { readonly code?: unknown };
  return error instanceof SyntaxError ? impossible(stackId, 'it is not JSON') : unavailable(stackId, `${stackId} ${what}${typeof code === 'string' ? ` (${code})` : ''}.`, error);
}

const unavailable = (stackId: string, message: string, cause: unknown, details: Readonly<Record<string, unknown>> = {}, more: { readonly retryAfterSeconds?: number } = {}): AgentOsError =>
  new AgentOsError('dependency_unavailable', { message, details: { peer: stackId, ...details }, cause, ...more });

const unusable = (stackId: string, message: string, details: Readonly<Record<string, unknown>>): AgentOsError =>
  new AgentOsError('dependency_unavailable', { message, retryable: false, details: { peer: stackId, ...details } });

/** An answer that the contract does not allow: what it was about may have happened all the same. */
export const impossible = (stackId: string, why: string): AgentOsError =>
  unavailable(stackId, `The answer of ${stackId} cannot be used: ${why}.`, why, { reason: 'answer_unusable' });
