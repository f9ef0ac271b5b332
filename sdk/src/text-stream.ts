/** What arrives on an open answer. Nothing is read ahead of the consumer, so a slow one slows the server down. */
import { createParser } from 'eventsource-parser';
import type { ReadableStream } from 'node:stream/web';
import { ConnectionError } from './errors.ts';

export type Body = ReadableStream<Uint8Array> | null;

/** The data of server-sent events, one an event. @throws ConnectionError when the connection breaks. */
export async function* readData(body: Body): AsyncGenerator<string, void> {
  const arrived: string[] = [];
  const parser = createParser({ onEvent: (frame) => arrived.push(frame.data) });
  for await (const text of readText(body)) {
    parser.feed(text);
    yield* arrived.splice(0);
  }
}

/** Lines without their ends. @throws ConnectionError when the connection breaks, or ends within a line. */
export async function* readLines(body: Body): AsyncGenerator<string, void> {
  let rest = '';
  for await (const text of readText(body)) {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== '') throw new ConnectionError('The answer ended within a line, so it is not whole.');
}

async function* readText(body: Body): AsyncGenerator<string, void> {
  if (body === null) return;
  const decoder = new TextDecoder();
  try {
    for await (const chunk of body) yield decoder.decode(chunk, { stream: true });
  } catch (cause) {
    // Node's fetch tells of a connection that broke by a TypeError; an abort keeps its own reason.
    throw cause instanceof TypeError ? new ConnectionError('The connection broke before the answer was whole.', { cause }) : cause;
  }
}
