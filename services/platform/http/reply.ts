/** Writing answers: the headers every answer carries, JSON bodies, and the error model. */
import type { ServerResponse } from 'node:http';
import type { Exchange } from './exchange.ts';
import { toHttpError, type HttpError } from './errors.ts';

export type Headers = Record<string, string>;

/** Headers of every answer of this exchange. */
export function commonHeaders(exchange: Exchange): Headers {
  const headers: Headers = {
    'x-request-id': exchange.requestId,
    'x-correlation-id': exchange.correlationId,
    traceparent: exchange.traceparent,
    'x-content-type-options': 'nosniff',
  };
  if (exchange.tenantId !== null) headers['x-tenant-id'] = exchange.tenantId;
  return headers;
}

export function writeJson(exchange: Exchange, status: number, body: unknown, headers: Headers): void {
  writeText(exchange.response, status, JSON.stringify(body), 'application/json; charset=utf-8', headers);
}

export function writeText(response: ServerResponse, status: number, text: string, contentType: string, headers: Headers): void {
  headers['content-type'] = contentType;
  headers['content-length'] = String(Buffer.byteLength(text));
  response.writeHead(status, headers);
  response.end(text);
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

/** A body that was refused for its size is not read to its end, so the connection cannot carry another request. */
function closeIfUnread(exchange: Exchange, headers: Headers, status: number): Headers {
  if (status === 413 && !exchange.request.complete) headers.connection = 'close';
  return headers;
}
