/** A streamed answer of a model server, from bytes to the pieces of the port. */
import { StringDecoder } from 'node:string_decoder';
import { createParser } from 'eventsource-parser';
import type { ProviderChunk } from '../../ports/provider.ts';
import { streamTruncated } from './failures.ts';
import type { OpenAnswer } from './transport.ts';

export interface StreamEvent {
  /** The event's name in server-sent events; '' without one, and in NDJSON. */
  readonly name: string;
  readonly data: string;
}

/** What a vendor's events mean. One instance an answer. */
export interface AnswerReader {
  /** @throws AgentOsError for an event that is an error. */
  read(event: StreamEvent): readonly ProviderChunk[];
  /** The last pieces, usage and finish among them, once no more events come; null where the answer is not complete. */
  end(): readonly ProviderChunk[] | null;
  /** True when the vendor has said that nothing follows. */
  readonly complete: boolean;
}

export type StreamFormat = 'sse' | 'ndjson';

export const ACCEPT: Readonly<Record<StreamFormat, string>> = { sse: 'text/event-stream', ndjson: 'application/x-ndjson' };

/** @param open sends the request; called with the first `next()` */
export async function* streamAnswer(backend: string, open: () => Promise<OpenAnswer>, format: StreamFormat, reader: AnswerReader): AsyncGenerator<ProviderChunk, void, void> {
  const answer = await open();
  const decoder = format === 'sse' ? new SseDecoder() : new LineDecoder();
  try {
    while (!reader.complete) {
      const bytes = await answer.next();
      for (const event of bytes === null ? decoder.end() : decoder.feed(bytes)) {
        for (const chunk of reader.read(event)) yield chunk;
        if (reader.complete) break;
      }
      if (bytes === null) break;
    }
    const last = reader.end();
    if (last === null) throw streamTruncated(backend);
    for (const chunk of last) yield chunk;
  } finally {
    if (reader.complete) answer.letGo();
    else answer.leave();
  }
}

interface Decoder {
  feed(bytes: Buffer): readonly StreamEvent[];
  /** What was left without its end. */
  end(): readonly StreamEvent[];
}

/** Server-sent events; characters and line ends may be split over chunks, comments are skipped. */
class SseDecoder implements Decoder {
  private readonly characters = new StringDecoder('utf8');
  private events: StreamEvent[] = [];
  private readonly parser = createParser({ onEvent: ({ event, data }) => this.events.push({ name: event ?? '', data }) });

  feed(bytes: Buffer): readonly StreamEvent[] {
    this.parser.feed(this.characters.write(bytes));
    return this.take();
  }

  /** Some servers leave out the empty line behind the last event. */
  end(): readonly StreamEvent[] {
    this.parser.feed(`${this.characters.end()}\n\n`);
    return this.take();
  }

  private take(): readonly StreamEvent[] {
    const events = this.events;
    if (events.length > 0) this.events = [];
    return events;
  }
}

/** One JSON text a line. */
class LineDecoder implements Decoder {
  private readonly characters = new StringDecoder('utf8');
  private rest = '';

  feed(bytes: Buffer): readonly StreamEvent[] {
    const lines = (this.rest + this.characters.write(bytes)).split('\n');
    this.rest = lines.pop()!;
    return toEvents(lines);
  }

  end(): readonly StreamEvent[] {
    const last = this.rest + this.characters.end();
    this.rest = '';
    return toEvents([last]);
  }
}

function toEvents(lines: readonly string[]): readonly StreamEvent[] {
  return lines.filter((line) => line.trim() !== '').map((data) => ({ name: '', data }));
}
