/** Events over SSE: framing, cursors, resuming, the end (PRS 4.2, Appendix D.4, C-15, C-16, C-60). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, readEvents, untilEnded, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { validators } from '../../generated/validators/schemas.js';
import { badCursors } from '../vectors/bad-input.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
let run: Json;
const ao = (): string => node.urls['agent-orchestrator'];

beforeAll(async () => {
  node = await startNode();
  await node.agent('tnt_demo', { agentId: 'agt_suite', tools: ['tool.text.stats'] });
  run = (await call(ao(), '/v1/agents/agt_suite/runs', { body: { input: 'Use tool.text.stats on this sentence, please.' } })).body.run;
});
afterAll(() => node?.close());

describe('the stream of a run', () => {
  it('tells everything from the beginning and ends after the terminal event', verifies(['PRS-4.2-06', 'PRS-4.2-07', 'PRS-4.2-08', 'PRS-4.2-11'], async () => {
    const { status, headers, frames, ended } = await readEvents(ao(), run.events_url as string);
    expect(status).toBe(200);
    expect(headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(headers.get('cache-control')).toMatch(/no-cache|no-store/);
    expect(headers.get('x-accel-buffering')).toBe('no');
    expect(ended).toBe(true);
    const types = frames.map((frame) => frame.data.event.type as string);
    expect(types[0]).toBe('agentos.run.created');
    expect(types).toContain('agentos.run.step.started');
    expect(types.at(-1)).toBe('agentos.run.completed');
    expect(types.filter((type) => /^agentos\.run\.(completed|failed|canceled)$/.test(type))).toHaveLength(1);
  }));

  it('frames every event as id, event and data, without a gap', verifies(['PRS-7.4-05', 'PRS-4.1-04'], async () => {
    const { frames, raw } = await readEvents(ao(), run.events_url as string);
    expect(frames.map((frame) => frame.id)).toEqual(frames.map((_, index) => String(index + 1)));
    expect(new Set(frames.map((frame) => frame.event))).toEqual(new Set(['agentos.event']));
    expect(frames.map((frame) => frame.data.event.sequence as number)).toEqual(frames.map((_, index) => index + 1));
    expect(new Set(frames.map((frame) => frame.data.event.event_id as string)).size).toBe(frames.length);
    for (const block of raw.split('\n\n').filter((part) => part.trim() !== '' && !part.startsWith(':'))) {
      expect(block.split('\n').map((line) => line.split(':')[0])).toEqual(['id', 'event', 'data']);
    }
  }));

  it('carries envelopes that satisfy the Appendix', async () => {
    const { frames } = await readEvents(ao(), run.events_url as string);
    const validator = validators.EventEnvelope as ((value: unknown) => boolean) & { errors?: unknown };
    for (const { data } of frames) {
      expect(validator(structuredClone(data)) || JSON.stringify(validator.errors)).toBe(true);
      expect(data.event).toMatchObject({ tenant_id: 'tnt_demo', agent_id: 'agt_suite', run_id: run.run_id });
      expect(data.event).toHaveProperty('step_id');
      expect(data.event.trace.span_id).toMatch(/^[0-9a-f]{16}$/);
      expect(data.event.trace.traceparent).toContain(data.event.trace.span_id);
    }
  });

  it('answers the same events, ids included, whenever it is read', verifies(['PRS-7.4-04'], async () => {
    const [one, other] = [await readEvents(ao(), run.events_url as string), await readEvents(ao(), run.events_url as string)];
    expect(one.frames).toEqual(other.frames);
  }));
});

describe('cursors', () => {
  it('resume after the sequence given, in all three spellings', verifies(['PRS-4.2-06'], async () => {
    await untilEnded(ao(), run.run_id as string);
    const all = (await readEvents(ao(), run.events_url as string)).frames;
    const rest = all.slice(2);
    expect((await readEvents(ao(), `${run.events_url}?after_sequence=2`)).frames).toEqual(rest);
    expect((await readEvents(ao(), `${run.events_url}?from_sequence=2`)).frames).toEqual(rest);
    expect((await readEvents(ao(), run.events_url as string, { headers: { 'last-event-id': '2' } })).frames).toEqual(rest);
  }));

  it('prefer the query to the header', async () => {
    const all = (await readEvents(ao(), run.events_url as string)).frames;
    const { frames } = await readEvents(ao(), `${run.events_url}?after_sequence=3`, { headers: { 'last-event-id': '1' } });
    expect(frames).toEqual(all.slice(3));
  });

  it('past the end of a finished run answer nothing and close', async () => {
    const last = (await readEvents(ao(), run.events_url as string)).frames.length;
    for (const after of [last, last + 1, 2_000_000_000]) {
      const { status, frames, ended } = await readEvents(ao(), `${run.events_url}?after_sequence=${after}`);
      expect({ status, frames, ended }).toEqual({ status: 200, frames: [], ended: true });
    }
  });

  it.each(badCursors)('refuse %s', async (query) => {
    const { status, body } = await readEvents(ao(), `${run.events_url}?${query}`);
    expect(status).toBe(400);
    expect(body.error.code).toBe('invalid_request');
  });

  it('together with breaks in between deliver exactly the whole', verifies(['PRS-7.4-04'], async () => {
    const fresh = (await call(ao(), '/v1/agents/agt_suite/runs', { body: { input: 'Use tool.text.stats on this sentence.' } })).body.run;
    const seen: Json[] = [];
    for (let reading = 0; reading < 50; reading += 1) {
      const { frames, ended } = await readEvents(ao(), `${fresh.events_url}?after_sequence=${seen.length}`, { stopAfter: 2 });
      seen.push(...frames.slice(0, 2));
      if (ended) break;
    }
    expect(seen).toEqual((await readEvents(ao(), fresh.events_url as string)).frames);
  }));
});

describe('a stream that is open while the run goes on', () => {
  it('delivers events as they happen', async () => {
    const started = (await call(ao(), '/v1/agents/agt_suite/runs', { body: { input: 'Use tool.text.stats on this.' } })).body.run;
    const readings = await Promise.all(Array.from({ length: 5 }, () => readEvents(ao(), started.events_url as string)));
    for (const { frames, ended } of readings) {
      expect(ended).toBe(true);
      expect(frames).toEqual(readings[0]!.frames);
    }
  });

  it('is not there for another tenant, in the words used for one that does not exist', verifies(['PRS-13-09', 'PRS-7.4-09'], async () => {
    const tenant = await node.tenant();
    const foreign = await readEvents(ao(), run.events_url as string, { tenant });
    const absent = await readEvents(ao(), '/v1/runs/run_absent/events', { tenant });
    expect(foreign.status).toBe(404);
    const words = (reading: { body: Json }, id: string): string => JSON.stringify(reading.body.error).replaceAll(id, '<id>');
    expect(words(foreign, run.run_id as string)).toBe(words(absent, 'run_absent'));
  }));
});
