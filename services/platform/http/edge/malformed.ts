/** What is refused before a request has an operation: by the HTTP parser, and for headers that contradict each other. */
import { STATUS_CODES, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { AgentOsError } from '../../errors.ts';
import { newId } from '../../ids.ts';
import { toHttpError } from '../errors.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

/** Behind its first 2,000 headers Node drops the others silently, so what is looked at would not be what was sent. */
const MOST_HEADERS = 256;
/** RFC 3986 `host [":" port]`: what a proxy could read as the end of a name, or as another one, is none. */
const HOST = /^[A-Za-z0-9._~!$&'()*+,;=%:[\]-]*$/;
/** The same few names come all the time. */
let lastHost = '';

/**
 * Node joins or drops repeated headers silently; where two values could be read as two identities, both are refused.
 * @throws AgentOsError invalid_request, unauthorized.
 */
export function refuseAtTheEdge(request: IncomingMessage): void {
  const raw = request.rawHeaders;
  if (raw.length > MOST_HEADERS * 2) throw tooManyHeaders();
  let hosts = 0;
  let authorizations = 0;
  let tenants = 0;
  let types = 0;
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index]!;
    // Only four names matter and their lengths differ from most others, so most headers cost one comparison.
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1;
    else if (name.length === 13 && name.toLowerCase() === 'authorization') authorizations += 1;
    else if (name.length === 11 && name.toLowerCase() === 'x-tenant-id') tenants += 1;
    else if (name.length === 12 && name.toLowerCase() === 'content-type') types += 1;
  }
  if (hosts !== 1 && !(hosts === 0 && request.httpVersion === '1.0')) throw badHeader('Host', hosts === 0 ? 'is missing' : 'is sent twice', true);
  const { host = '' } = request.headers;
  if (host !== lastHost) {
    if (!HOST.test(host)) throw badHeader('Host', 'is not a name with or without a port', true);
    lastHost = host;
  }
  if (tenants > 1) throw badHeader('X-Tenant-Id', 'is sent twice');
  if (types > 1) throw badHeader('Content-Type', 'is sent twice');
  if (authorizations > 1) throw new AgentOsError('unauthorized', { message: 'Authorization is sent twice; send one credential.', details: { reason: 'two_credentials' } });
}

function tooManyHeaders(): AgentOsError {
  return new AgentOsError('invalid_request', { message: `The request has more than ${MOST_HEADERS} headers.`, details: { reason: 'headers_too_large', limit: MOST_HEADERS } });
}

function badHeader(name: string, fault: string, closes = false): AgentOsError {
  return new AgentOsError('invalid_request', {
    message: `The header ${name} ${fault}.`,
    details: { errors: [{ path: `/headers/${name}`, message: fault }], ...(closes ? { reason: 'bad_request_line' } : {}) },
  });
}

/** The parser gave up: there is no request object, so the answer is written by hand and the connection ends. */
export function answerParserError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, body } = parserAnswer(error.code);
  writeByHand(socket, status, body, {});
}

/** CONNECT asks for a tunnel, and node:http hands over the bare socket: nothing here is a proxy. */
export function answerConnect(socket: Duplex): void {
  const { status, headers, body } = toHttpError(
    new AgentOsError('method_not_allowed', { message: 'This service is not a proxy: it takes no CONNECT.', details: { allow: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] } }),
    newId('corr'),
    null,
  );
  socket.on('error', () => socket.destroy());
  writeByHand(socket, status, body, headers);
}

function writeByHand(socket: Duplex, status: number, body: ReturnType<typeof toHttpError>['body'], more: Readonly<Record<string, string>>): void {
  const text = JSON.stringify(body);
  const headers = Object.entries({
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(text)),
    'x-correlation-id': body.correlation_id,
    'x-request-id': newId('req'),
    ...SECURITY_HEADERS,
    ...more,
    connection: 'close',
  });
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${text}`, () => socket.destroy());
}

function parserAnswer(code: string | undefined): { status: number; body: ReturnType<typeof toHttpError>['body'] } {
  const answer = toHttpError(parserError(code), newId('corr'), null);
  // 408 exists only here: no operation has been reached that could declare it.
  return { status: code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : answer.status, body: answer.body };
}

function parserError(code: string | undefined): AgentOsError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new AgentOsError('invalid_request', { message: 'The request headers are larger than 16 KiB.', details: { reason: 'headers_too_large', limit_bytes: 16_384 } });
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new AgentOsError('timeout', { message: 'The request did not arrive in time.' });
  return new AgentOsError('invalid_request', { message: 'The request is not valid HTTP/1.1.', details: { reason: 'bad_request_line' } });
}
