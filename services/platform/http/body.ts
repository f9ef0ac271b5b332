/**
 * From a request's bytes to a JSON object that is safe to store.
 *
 * The declared type is checked before a byte is read, the size while reading, and inflation is bounded. On the good
 * path the text is inspected once by a regular expression and a bracket count; only a text that contains something
 * suspicious is walked value by value.
 */
import type { IncomingMessage } from 'node:http';
import { isUtf8 } from 'node:buffer';
import { gunzip } from 'node:zlib';
import { AgentOsError } from '../errors.ts';

/** 256 KiB, before and after inflation. */
export const MAX_BODY_BYTES = 262_144;
const MAX_DEPTH = 64;

export interface BodyRules {
  readonly required: boolean;
  readonly contentTypes: readonly string[];
}

/** Told the bytes of a body as they were sent, before they are inflated or read as anything. @throws AgentOsError to refuse them. */
export type BodyCheck = (raw: Uint8Array) => void;

/** The object sent, or undefined for no body where none is required. @throws AgentOsError invalid_request, invalid_json. */
export async function readJsonBody(request: IncomingMessage, rules: BodyRules, maxBytes: number = MAX_BODY_BYTES, check: BodyCheck | null = null): Promise<Record<string, unknown> | undefined> {
  const declaredLength = request.headers['content-length'];
  if (!declaresBody(request)) {
    if (rules.required) throw invalid('The request needs a body: a JSON object.', [{ path: '', message: 'must be an object' }]);
    return undefined;
  }
  checkMediaType(request.headers['content-type'], rules);
  const gzip = checkEncoding(request.headers['content-encoding']);
  if (declaredLength !== undefined && Number(declaredLength) > maxBytes) throw tooLarge(maxBytes);
  const reading = readBytes(request, maxBytes);
  const raw = reading instanceof Promise ? await reading : reading;
  check?.(raw);
  const bytes = gzip ? await inflate(raw, maxBytes) : raw;
  if (bytes.length === 0) {
    if (rules.required) throw invalid('The request needs a body: a JSON object.', [{ path: '', message: 'must be an object' }]);
    return undefined;
  }
  return parseJsonObject(bytes);
}

export function declaresBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

/** Collects the body; stops listening, and so lets the connection be closed, as soon as the limit is passed. */
function readBytes(request: IncomingMessage, maxBytes: number): Buffer | Promise<Buffer> {
  // Most bodies have come with their headers, in one piece, before anybody asks for them.
  if (request.complete && request.readableFlowing === null) {
    const bytes = (request.read() as Buffer | null) ?? Buffer.alloc(0);
    if (bytes.length > maxBytes) throw tooLarge(maxBytes);
    return bytes;
  }
  return new Promise((resolve, reject) => {
    if (request.destroyed) return reject(cutShort());
    let chunks: Buffer[] | null = null;
    let first: Buffer | null = null;
    let size = 0;
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > maxBytes) {
        request.pause();
        done();
        reject(tooLarge(maxBytes));
      } else if (first === null) first = chunk;
      else (chunks ??= [first]).push(chunk);
    };
    const onEnd = (): void => {
      done();
      resolve(chunks === null ? (first ?? Buffer.alloc(0)) : Buffer.concat(chunks, size));
    };
    const onAbort = (): void => {
      done();
      reject(cutShort());
    };
    const done = (): void => {
      request.off('data', onData);
      request.off('end', onEnd);
      request.off('close', onAbort);
      request.off('error', onAbort);
    };
    request.on('data', onData);
    request.on('end', onEnd);
    request.on('close', onAbort);
    request.on('error', onAbort);
  });
}

function cutShort(): AgentOsError {
  return new AgentOsError('invalid_request', { message: 'The connection was closed before the body was complete.', details: { reason: 'body_incomplete' } });
}

function inflate(raw: Buffer, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    gunzip(raw, { maxOutputLength: maxBytes }, (error, bytes) => {
      if (error === null) resolve(bytes);
      else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') reject(tooLarge(maxBytes));
      else reject(new AgentOsError('invalid_request', { message: 'The body is declared as gzip and cannot be inflated.', details: { reason: 'bad_encoding' } }));
    });
  });
}

function checkMediaType(header: string | undefined, rules: BodyRules): void {
  if (header === 'application/json' && rules.contentTypes.includes('application/json')) return;
  const [type = '', ...parameters] = (header ?? '').split(';').map((part) => part.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice(8).replaceAll('"', '') ?? 'utf-8';
  if (!rules.contentTypes.includes(type) || (charset !== 'utf-8' && charset !== 'utf8')) {
    throw new AgentOsError('invalid_request', {
      message: `The body is declared as ${header ?? 'nothing'}; this operation reads ${rules.contentTypes.join(', ')} in UTF-8.`,
      details: { reason: 'unsupported_media_type', content_type: header ?? null, supported: rules.contentTypes },
    });
  }
}

/** True for gzip. */
function checkEncoding(header: string | undefined): boolean {
  const encoding = (header ?? 'identity').trim().toLowerCase();
  if (encoding === 'identity') return false;
  if (encoding === 'gzip' || encoding === 'x-gzip') return true;
  throw new AgentOsError('invalid_request', {
    message: `The content encoding ${header} is not supported; send the body plain or as gzip.`,
    details: { reason: 'unsupported_media_type', content_encoding: header, supported: ['identity', 'gzip'] },
  });
}

/** @throws AgentOsError invalid_json, invalid_request. */
function parseJsonObject(bytes: Buffer): Record<string, unknown> {
  if (!isUtf8(bytes)) throw new AgentOsError('invalid_json', { message: 'The request body is not valid UTF-8.' });
  const text = bytes.toString('utf8');
  const walkNeeded = isSuspicious(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const where = /position \d+(?: \(line \d+ column \d+\))?/.exec((error as Error).message)?.[0];
    throw new AgentOsError('invalid_json', {
      message: `The request body is not JSON${where === undefined ? ': it ends too early or contains something that is no JSON' : `: error at ${where}`}. Send one complete JSON object.`,
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const kind = value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`;
    throw invalid(`The request body is ${kind}; it must be a JSON object.`, [{ path: '', message: 'must be an object' }]);
  }
  if (walkNeeded) refuseUnsafe(value, '');
  return value as Record<string, unknown>;
}

// A text with any of these may decode to a character or a member that must be looked at; most texts have none.
const SUSPICIOUS = /\\u(?:0000|[dD][89a-fA-F])|__proto__|constructor|prototype|\\u00[4-7]/;

/** @throws AgentOsError when the nesting passes the limit, which must be known before the text is parsed and validated. */
function isSuspicious(text: string): boolean {
  checkDepth(text);
  return SUSPICIOUS.test(text);
}

function checkDepth(text: string): void {
  // Counting brackets, those in strings included, can only overestimate: below the limit there is nothing to look at.
  let openings = 0;
  for (let at = text.indexOf('{'); at !== -1 && openings <= MAX_DEPTH; at = text.indexOf('{', at + 1)) openings += 1;
  for (let at = text.indexOf('['); at !== -1 && openings <= MAX_DEPTH; at = text.indexOf('[', at + 1)) openings += 1;
  if (openings <= MAX_DEPTH) return;
  let depth = 0;
  let inString = false;
  for (let index = 0; index < text.length; index += 1) {
    const character = text.charCodeAt(index);
    if (inString) {
      if (character === 92) index += 1;
      else if (character === 34) inString = false;
    } else if (character === 34) inString = true;
    else if (character === 123 || character === 91) {
      depth += 1;
      if (depth > MAX_DEPTH) throw invalid(`The request body is nested deeper than ${MAX_DEPTH} levels.`, [{ path: '', message: `must not nest deeper than ${MAX_DEPTH} levels` }]);
    } else if (character === 125 || character === 93) depth -= 1;
  }
}

const UNSAFE_NAMES = new Set(['__proto__', 'constructor', 'prototype']);

function refuseUnsafe(value: unknown, path: string): void {
  if (typeof value === 'string') return refuseUnsafeText(value, path);
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) refuseUnsafe(item, `${path}/${index}`);
    return;
  }
  for (const name of Object.keys(value)) {
    const at = `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (UNSAFE_NAMES.has(name)) throw invalid(`The member name ${name} is not allowed.`, [{ path: at, message: 'is a reserved name' }]);
    refuseUnsafeText(name, at);
    refuseUnsafe((value as Record<string, unknown>)[name], at);
  }
}

function refuseUnsafeText(text: string, path: string): void {
  if (text.includes('\0')) throw invalid('A text contains the NUL character.', [{ path, message: 'must not contain U+0000' }]);
  if (!isWellFormed(text)) throw invalid('A text contains half of a surrogate pair.', [{ path, message: 'must be well-formed Unicode' }]);
}

const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
function isWellFormed(text: string): boolean {
  return !LONE_SURROGATE.test(text);
}

function tooLarge(maxBytes: number): AgentOsError {
  return new AgentOsError('invalid_request', {
    message: `The request body is larger than ${maxBytes} bytes.`,
    details: { reason: 'body_too_large', limit_bytes: maxBytes },
  });
}

function invalid(message: string, errors: ReadonlyArray<{ readonly path: string; readonly message: string }>): AgentOsError {
  return new AgentOsError('invalid_request', { message, details: { errors } });
}
