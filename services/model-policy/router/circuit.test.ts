import { describe, expect, it } from 'vitest';
import { AgentOsError } from '../../platform/errors.ts';
import type { ProviderCallOptions, ProviderChunk, ProviderPort } from '../ports/provider.ts';
import { Circuit, Rests } from './circuit.ts';
import { GatedProvider } from './gated-provider.ts';

const settings = { failureThreshold: 3, openMs: 1_000 };

describe('Circuit', () => {
  it('opens after failures in a row, lets one call try, and closes when that succeeds', () => {
    let now = 0;
    const circuit = new Circuit(settings, () => now);
    for (let i = 0; i < 3; i += 1) {
      expect(circuit.enter()).toBe(true);
      circuit.ended('dependency_unavailable');
    }
    expect([circuit.state, circuit.enter(), circuit.opensInMs]).toEqual(['open', false, 1_000]);
    now = 1_000;
    expect([circuit.state, circuit.allows, circuit.enter()]).toEqual(['half_open', true, true]);
    expect([circuit.allows, circuit.enter()], 'one at a time').toEqual([false, false]);
    circuit.ended(null);
    expect([circuit.state, circuit.enter()]).toEqual(['closed', true]);
  });

  it('opens for twice as long when the trying call fails, and is tried again when its caller gave up', () => {
    let now = 0;
    const circuit = new Circuit(settings, () => now);
    for (let i = 0; i < 3; i += 1) circuit.ended('timeout');
    now = 1_000;
    circuit.enter();
    circuit.ended('timeout');
    expect(circuit.opensInMs).toBe(2_000);
    now = 3_000;
    circuit.enter();
    circuit.ended('gave_up');
    expect(circuit.enter()).toBe(true);
  });

  it('opens on a large share of failures among many calls', () => {
    const circuit = new Circuit({ ...settings, failureThreshold: 1_000 }, () => 0);
    for (let i = 0; i < 19; i += 1) circuit.ended(i % 3 === 0 ? null : 'internal_error');
    expect(circuit.state).toBe('closed');
    circuit.ended('timeout');
    expect(circuit.state).toBe('open');
  });

  it('does not count what says nothing about the backend', () => {
    const circuit = new Circuit(settings);
    for (let i = 0; i < 50; i += 1) circuit.ended((['invalid_request', 'gave_up', 'rate_limited', 'not_found'] as const)[i % 4]!);
    expect(circuit.state).toBe('closed');
  });

  it('is tried at once when a probe succeeds', () => {
    const circuit = new Circuit(settings, () => 0);
    for (let i = 0; i < 3; i += 1) circuit.ended('timeout');
    circuit.probed(true);
    expect(circuit.state).toBe('half_open');
  });
});

it('a model rests for as long as its backend said, and not for ever', () => {
  let now = 0;
  const rests = new Rests(() => now);
  rests.note('openai', 'gpt', 2);
  rests.note('openai', 'big', 86_400);
  expect([rests.leftMs('openai', 'gpt'), rests.leftMs('openai', 'other'), rests.leftMs('openai', 'big')]).toEqual([2_000, 0, 60_000]);
  now = 2_000;
  expect(rests.leftMs('openai', 'gpt')).toBe(0);
});

describe('GatedProvider', () => {
  const options = (signal = new AbortController().signal): ProviderCallOptions => ({ signal, traceparent: '' });
  const request = { model: 'm', messages: [], tools: [], toolChoice: 'auto' };
  const gate = (inner: Partial<ProviderPort>, most: number | null = null, waitMs = 1_000) => new GatedProvider('b', inner as ProviderPort, new Circuit(settings), most, waitMs);

  it('lets so many in and the others in turn, tells how long they waited, and refuses when the wait is too long', async () => {
    const doors: (() => void)[] = [];
    let inside = 0;
    let most = 0;
    const gated = gate({ async chat() {
      most = Math.max(most, (inside += 1));
      await new Promise<void>((resolve) => doors.push(resolve));
      inside -= 1;
      return {} as never;
    } }, 2, 60);
    const waits: number[] = [];
    const calls = Array.from({ length: 5 }, () => gated.chat({} as never, request, { ...options(), onQueued: (ms) => waits.push(ms) }).then(() => 'served', (error: AgentOsError) => error.details['reason']));
    await new Promise((resolve) => setTimeout(resolve, 5));
    doors.shift()!();
    await new Promise((resolve) => setTimeout(resolve, 120));
    while (doors.length > 0) {
      doors.shift()!();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect((await Promise.all(calls)).sort()).toEqual(['backend_concurrency_exceeded', 'backend_concurrency_exceeded', 'served', 'served', 'served']);
    expect([most, waits.length, gated.inFlight]).toEqual([2, 1, 0]);
  });

  it('counts a stream until its end, whichever way it ends, and its break as a failure', async () => {
    const pieces = async function* (breaks: boolean): AsyncIterable<ProviderChunk> {
      yield { type: 'content', text: 'a' };
      if (breaks) throw new AgentOsError('dependency_unavailable', { message: 'stream_truncated' });
      yield { type: 'finish', reason: 'stop' };
    };
    let breaks = true;
    const gated = gate({ chatStream: () => pieces(breaks) });
    for (let i = 0; i < 3; i += 1) {
      await expect((async () => { for await (const _chunk of gated.chatStream({} as never, request, options())) expect(gated.inFlight).toBe(1); })()).rejects.toThrow('stream_truncated');
    }
    expect([gated.inFlight, gated.circuit.state]).toEqual([0, 'open']);
    breaks = false;
    await expect(gated.chatStream({} as never, request, options())[Symbol.asyncIterator]().next()).rejects.toMatchObject({ details: { reason: 'circuit_open' } });
    gated.circuit.probed(true);
    for await (const _chunk of gated.chatStream({} as never, request, options())) break;
    expect([gated.inFlight, gated.circuit.state]).toEqual([0, 'closed']);
  });

  it('leaves the line with its caller', async () => {
    const gated = gate({ chat: () => new Promise(() => undefined) }, 1);
    void gated.chat({} as never, request, options());
    const leaving = new AbortController();
    const waiting = gated.chat({} as never, request, options(leaving.signal));
    leaving.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'timeout' });
    expect(gated.inFlight).toBe(1);
  });
});
