/** Writing answers: the headers every answer carries, JSON bodies, and the error model. */
import type { ServerResponse } from 'node:http';
import type { Exchange } from './exchange.ts';
import { SECURITY_HEADERS, STRICT_TRANSPORT_SECURITY } from './edge/security-headers.ts';
import { toHttpError, type HttpError } from './errors.ts';

export type Headers = Record<string, string>;

/** For an answer to leave this process once it is written; as long as a full stream may stay full. */
const ANSWER_TAKEN_MS = 30_000;

/** Headers of every answer of this exchange. */
export function commonHeaders(exchange: Exchange): Headers {
  const headers: Headers = {
    'x-request-id': exchange.requestId,
    'x-correlation-id': exchange.correlationId,
    traceparent: exchange.traceparent,
    ...SECURITY_HEADERS,
  };
  if (exchange.tenantId !== null) headers['x-tenant-id'] = exchange.tenantId;
  if (exchange.secure) headers['strict-transport-security'] = STRICT_TRANSPORT_SECURITY;
  if (exchange.edgeHeaders !== null) Object.assign(headers, exchange.edgeHeaders);
  return headers;
}

export function writeJson(exchange: Exchange, status: number, body: unknown, headers: Headers): void {
  writeText(exchange.response, status, JSON.stringify(body), 'application/json; charset=utf-8', headers);
}

export function writeText(response: ServerResponse, status: number, text: string, contentType: string, headers: Headers): void {
  headers['content-type'] = contentType;
  const bytes = Buffer.byteLength(text);
  headers['content-length'] = String(bytes);
  response.writeHead(status, headers);
  // Where every character is a byte, nothing has to be encoded.
  response.end(text, bytes === text.length ? 'latin1' : 'utf8');
  if (response.writableLength > 0) cutIfNotTaken(response);
}

/** What did not fit into the socket at once waits for its reader, and a reader that takes nothing must not hold it for ever. */
function cutIfNotTaken(response: ServerResponse): void {
  const timer = setTimeout(() => response.destroy(), ANSWER_TAKEN_MS).unref();
  response.once('close', () => clearTimeout(timer));
  response.once('finish', () => clearTimeout(timer));
}

export function writeEmpty(response: ServerResponse, status: number, headers: Headers): void {
  response.writeHead(status, headers);
  response.end();
}

/** Writes the error model; logs what is our fault. Cuts the connection when the answer had begun already. */
export function writeError(exchange: Exchange, thrown: unknown, extra: Headers = {}): HttpError {
  const error = toHttpError(thrown, exchange.correlationId, exchange.tenantId, exchange.errorShape);
  logError(exchange, error);
  const { response } = exchange;
  if (response.headersSent) {
    response.destroy();
    return error;
  }
  writeJson(exchange, error.status, error.body, closeIfUnread(exchange, { ...commonHeaders(exchange), ...extra, ...error.headers }, error.status));
  return error;
}

export function logError(exchange: Exchange, error: HttpError): void {
  if (error.logged !== null) exchange.log.error({ err: error.logged, status: error.status, code: error.body.error.code }, 'Request failed.');
}

/** A body that was refused for its size, or unseen, is not read to its end, so the connection cannot carry another request. */
function closeIfUnread(exchange: Exchange, headers: Headers, status: number): Headers {
  const { request } = exchange;
  const unseen = status === 429 && (request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0);
  if ((status === 413 || unseen) && !request.complete) headers.connection = 'close';
  return headers;
}
