/** The export as a loop: whole or an error, no faster than it is read, and over when the loop is. */
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { ConnectionError, PermissionDeniedError } from './index.ts';
import { type Answer, failure, serverThat } from './server.fixture.ts';

const lineOf = (sequence: number, details: object = {}): string => `${JSON.stringify({ audit_id: `aud_${sequence}`, sequence, details })}\n`;
const NDJSON = { 'content-type': 'application/x-ndjson' };

interface Flood {
  readonly answer: Answer;
  readonly bytes: () => number;
  /** Resolves when the client has gone. */
  readonly closed: Promise<void>;
}

/** Far more than sockets hold, and not for ever, so that a reader that takes everything fails instead of filling the memory. */
const FLOOD_BYTES = 96_000_000;

/** Writes records only while the connection takes them, and does not end. */
function flood(): Flood {
  let bytes = 0;
  let sequence = 0;
  let close: () => void;
  const closed = new Promise<void>((resolve) => (close = resolve));
  const write = (response: ServerResponse): void => {
    let taken = true;
    while (taken && !response.destroyed && bytes < FLOOD_BYTES) {
      const line = lineOf((sequence += 1), { filler: 'x'.repeat(10_000) });
      bytes += line.length;
      taken = response.write(line);
    }
    response.once('drain', () => write(response));
  };
  const answer: Answer = (_request, response) => {
    response.once('close', close);
    write(response.writeHead(200, NDJSON));
  };
  return { answer, bytes: () => bytes, closed };
}

/** What it measures once that has stopped growing; never, where it does not stop. */
async function settled(measure: () => number): Promise<number> {
  for (let before = -1, equal = 0; ; ) {
    const now = measure();
    equal = now === before ? equal + 1 : 0;
    if (equal === 5) return now;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
}

describe('audit.export', () => {
  it('gives each record once, wherever the pieces are torn, with filters as the wire names them', async () => {
    const text = Buffer.from([1, 2, 3].map((sequence) => lineOf(sequence, { name: 'Grüße' })).join(''));
    const { client, seen } = await serverThat((_request, response) => {
      response.writeHead(200, NDJSON);
      for (const byte of text) response.write(Buffer.of(byte));
      response.end();
    });
    const records: unknown[] = [];
    for await (const { sequence, details } of client.audit.export({ principalId: 'usr_ada', resourceType: 'key', tenantId: 'tnt_acme' })) records.push([sequence, details['name']]);
    expect(records).toEqual([[1, 'Grüße'], [2, 'Grüße'], [3, 'Grüße']]);
    expect([seen[0]!.url, seen[0]!.headers.accept]).toEqual(['/v1/audit:export?principal_id=usr_ada&resource_type=key&tenant_id=tnt_acme', 'application/x-ndjson']);
  });

  it('gives the lines as they came', async () => {
    const { client } = await serverThat((_request, response) => response.writeHead(200, NDJSON).end(`{"b": 1,"a":2}\n${lineOf(2)}`));
    const lines: string[] = [];
    for await (const line of client.audit.exportLines()) lines.push(line);
    expect(lines).toEqual(['{"b": 1,"a":2}', lineOf(2).trimEnd()]);
  });

  it.each<[string, Answer]>([
    ['breaks', (_request, response) => void response.writeHead(200, NDJSON).write(lineOf(1), () => setTimeout(() => response.destroy(), 20))],
    ['ends within a line', (_request, response) => response.writeHead(200, NDJSON).end(`${lineOf(1)}{"audit_id":`)],
  ])('is an error when the connection %s', async (_how, answer) => {
    const { client, seen } = await serverThat(answer);
    const records = client.audit.export();
    expect((await records.next()).value).toMatchObject({ sequence: 1 });
    await expect(records.next()).rejects.toBeInstanceOf(ConnectionError);
    expect(seen).toHaveLength(1);
  });

  it('throws a refusal before the first record', async () => {
    const { client } = await serverThat(failure(403, 'forbidden'));
    await expect(client.audit.export({ tenantId: 'tnt_other' }).next()).rejects.toBeInstanceOf(PermissionDeniedError);
  });

  it('is read as fast as the loop goes, and ends at the server when the loop is left', async () => {
    const { answer, bytes, closed } = flood();
    const { client } = await serverThat(answer);
    let read = 0;
    for await (const { sequence } of client.audit.export()) {
      expect(sequence).toBe((read += 1));
      if (read === 1) {
        // What the sockets of both sides hold is written ahead, and nothing beyond it.
        expect(await settled(bytes)).toBeLessThan(FLOOD_BYTES / 2);
      }
      if (read === 50) break;
    }
    await closed;
  });

  it('ends for a caller that aborts, with its reason and without a further record', async () => {
    const { answer, closed } = flood();
    const { client } = await serverThat(answer);
    const controller = new AbortController();
    const reason = new Error('no longer wanted');
    const read: number[] = [];
    const reading = (async () => {
      for await (const { sequence } of client.audit.export({}, { signal: controller.signal })) {
        read.push(sequence);
        if (sequence === 3) controller.abort(reason);
      }
    })();
    await expect(reading).rejects.toBe(reason);
    expect(read).toEqual([1, 2, 3]);
    await closed;
  });

  it('ends for a caller that aborts while nothing comes', async () => {
    const { client } = await serverThat((_request, response) => void response.writeHead(200, NDJSON).write(lineOf(1)));
    const controller = new AbortController();
    const records = client.audit.export({}, { signal: controller.signal });
    await records.next();
    const waiting = records.next();
    const reason = new Error('no longer wanted');
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });
});
