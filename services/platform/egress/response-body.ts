/**
 * The body of an answer from outside: unpacked, and never more of it than was asked for. Bytes are counted after
 * unpacking, because a thousand packed ones can stand for a million.
 */
import { pipeline, Transform, type Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { AgentOsError } from '../errors.ts';

/** What this side says it understands. */
export const ACCEPTED_ENCODINGS = 'gzip, br, identity';

const DECODERS: Readonly<Record<string, () => Transform>> = { gzip: createGunzip, 'x-gzip': createGunzip, deflate: createInflate, br: createBrotliDecompress };

/** The unpacked body; it fails with dependency_unavailable (`details.reason` says why) past `maxBytes`. */
export function boundedBody(body: Readable, contentEncoding: string | undefined, maxBytes: number, host: string): Readable {
  const encoding = (contentEncoding ?? 'identity').trim().toLowerCase();
  const decoder = encoding === '' || encoding === 'identity' ? null : DECODERS[encoding];
  // Several layers of packing are a bomb's way of looking small.
  if (decoder === undefined) {
    body.on('error', ignore).destroy();
    throw unusable(host, 'unknown_content_encoding', `${host} answered in the encoding '${encoding.slice(0, 40)}', which was not asked for.`);
  }
  const limit = byteLimit(maxBytes, host).on('error', ignore);
  // Registered before the pipeline's own handlers, so that the reader learns what happened in our words.
  body.once('error', (cause) => limit.destroy(unusable(host, 'broken_off', `The answer of ${host} broke off.`, cause, true)));
  if (decoder === null) return pipeline(body, limit, ignore);
  const decoding = decoder();
  decoding.once('error', (cause) => limit.destroy(cause instanceof AgentOsError ? cause : unusable(host, 'bad_content_encoding', `The answer of ${host} could not be unpacked.`, cause)));
  return pipeline(body, decoding, limit, ignore);
}

/** Everything of a bounded body. */
export async function collect(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function byteLimit(maxBytes: number, host: string): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > maxBytes) done(unusable(host, 'answer_too_large', `${host} answered more than ${maxBytes} bytes.`));
      else done(null, chunk);
    },
  });
}

function unusable(host: string, reason: string, message: string, cause?: unknown, retryable = false): AgentOsError {
  return new AgentOsError('dependency_unavailable', { message, retryable, details: { service: host, reason }, cause });
}

/** Whoever reads the last stream learns of the error from it; one that nobody reads must not end the process. */
const ignore = (): void => undefined;
