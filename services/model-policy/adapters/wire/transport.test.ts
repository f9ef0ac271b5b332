import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startModelStub, type ModelStub, type StubAnswer } from '../../fixture/model-server-stub.ts';
import { ApiKey } from './api-key.ts';
import { parseBaseUrl } from './base-url.ts';
import { readRetryAfter } from './failures.ts';
import { ModelTransport, type OpenAnswer, type TransportSettings } from './transport.ts';

const JSON_OK: StubAnswer = { kind: 'json', body: { ok: true } };
const call = (signal = new AbortController().signal) => ({ signal, traceparent: '' });
const text = (chunks: readonly string[], more: Partial<Extract<StubAnswer, { kind: 'stream' }>> = {}): StubAnswer => ({ kind: 'stream', contentType: 'text/plain', chunks, ...more });

describe('ModelTransport', () => {
  let stub: ModelStub;
  const opened: ModelTransport[] = [];
  const transport = (more: Partial<TransportSettings> = {}): ModelTransport => {
    const made = new ModelTransport({ backend: 'stub', baseUrl: stub.baseUrl, apiKey: { kind: 'none' }, timeoutMs: 2_000, ...more });
    opened.push(made);
    return made;
  };
  beforeEach(async () => {
    stub = await startModelStub();
    stub.answer = JSON_OK;
  });
  afterEach(async () => {
    await stub.close();
    for (const each of opened.splice(0)) await each.close();
  });
  const readAll = async (answer: OpenAnswer): Promise<string> => {
    let out = '';
    for (let bytes = await answer.next(); bytes !== null; bytes = await answer.next()) out += bytes.toString();
    return out;
  };

  it('waits for the first byte only so long, whatever the headers said', async () => {
    stub.answer = text(['late'], { firstByteMs: 5_000 });
    const answer = await transport({ firstByteTimeoutMs: 500 }).open('/x', {}, '*/*', call());
    await expect(answer.next()).rejects.toMatchObject({ code: 'timeout', details: { reason: 'slow_first_byte', timeout_ms: 500 } });
    await expect.poll(() => stub.open()).toBe(0);
  });

  it('lets a slow answer take its time as long as something comes', async () => {
    stub.answer = text(Array.from({ length: 12 }, () => 'x'), { betweenMs: 40 });
    expect(await readAll(await transport({ idleTimeoutMs: 300 }).open('/x', {}, '*/*', call()))).toBe('x'.repeat(12));
  });

  it('ends a stream at the limit of the whole call', async () => {
    stub.answer = text(Array.from({ length: 200 }, () => 'x'), { betweenMs: 20 });
    const answer = await transport({ timeoutMs: 200, idleTimeoutMs: 100_000 }).open('/x', {}, '*/*', call());
    await expect(readAll(answer)).rejects.toMatchObject({ code: 'timeout', details: { reason: 'slow_answer', timeout_ms: 200 } });
    await expect.poll(() => stub.open()).toBe(0);
  });

  it('does not take a reader that pauses for silence, and holds little meanwhile', async () => {
    const piece = 'y'.repeat(64 * 1024);
    stub.answer = text(Array.from({ length: 200 }, () => piece));
    const answer = await transport({ idleTimeoutMs: 500, timeoutMs: 20_000 }).open('/x', {}, '*/*', call());
    let bytes = (await answer.next())!.length;
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    const held = (await answer.next())!.length;
    expect(held, 'bytes that waited for the reader').toBeLessThan(1024 * 1024);
    bytes += held;
    for (let more = await answer.next(); more !== null; more = await answer.next()) bytes += more.length;
    expect(bytes).toBe(200 * piece.length);
  });

  it('opens no more connections than it may, and serves all', async () => {
    const bounded = transport({ maxConnections: 3 });
    stub.answer = text(['{"ok":true}'], { firstByteMs: 10 });
    await Promise.all(Array.from({ length: 20 }, () => bounded.post('/x', {}, call())));
    expect(new Set(stub.calls.map((each) => each.remotePort)).size).toBeLessThanOrEqual(3);
    expect(stub.calls).toHaveLength(20);
  });

  it('gives up a call that still waits for a connection, and never sends it', async () => {
    const bounded = transport({ maxConnections: 1 });
    stub.answer = text(['{}'], { firstByteMs: 150 });
    const first = bounded.post('/first', {}, call());
    await expect.poll(() => stub.calls.length).toBe(1);
    const controller = new AbortController();
    const second = bounded.post('/second', {}, call(controller.signal));
    controller.abort();
    await expect(second).rejects.toMatchObject({ code: 'timeout', details: { reason: 'caller_gone' } });
    await first;
    await bounded.post('/third', {}, call());
    expect(stub.calls.map((each) => each.path)).not.toContain('/v1/second');
  });

  it('keeps a connection whose answer ends soon after what was wanted, and closes one that does not', async () => {
    const one = transport({ maxConnections: 1 });
    stub.answer = text(['all of it'], { then: 'silence' });
    const answer = await one.open('/x', {}, '*/*', call());
    await answer.next();
    answer.letGo();
    await expect.poll(() => stub.open()).toBe(0);
    stub.answer = text(['all of it']);
    for (let round = 0; round < 4; round += 1) {
      const next = await one.open('/x', {}, '*/*', call());
      await next.next();
      next.letGo();
    }
    expect(new Set(stub.calls.map((each) => each.remotePort)).size).toBe(2);
  });

  it('leaves no listener on the signal of a caller that lives long', async () => {
    const added: string[] = [];
    const { signal } = new AbortController();
    const counted = new Proxy(signal, {
      get(target, name) {
        if (name === 'addEventListener') return (...args: Parameters<AbortSignal['addEventListener']>) => { added.push('+'); target.addEventListener(...args); };
        if (name === 'removeEventListener') return (...args: Parameters<AbortSignal['removeEventListener']>) => { added.push('-'); target.removeEventListener(...args); };
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) as unknown : value;
      },
    });
    const one = transport();
    for (let round = 0; round < 5; round += 1) await one.post('/x', {}, call(counted));
    expect(added.filter((each) => each === '+')).toHaveLength(5);
    expect(added.filter((each) => each === '-')).toHaveLength(5);
  });

  it('uses a key that was changed in its file, at once where the old one is refused', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'agentos-key-'));
    const path = join(folder, 'key');
    writeFileSync(path, 'sk-first\n');
    try {
      const one = transport({ apiKey: { kind: 'file', path } });
      await one.get('/x', call());
      writeFileSync(`${path}.new`, 'sk-second-key\n');
      renameSync(`${path}.new`, path);
      stub.answer = { kind: 'json', status: 401, body: { error: { message: 'Incorrect API key provided: sk-first' } } };
      const refused = await one.get('/x', call()).then(() => null, (error: unknown) => error);
      expect(refused).toMatchObject({ code: 'dependency_unavailable', retryable: false, details: { reason: 'backend_unauthorized' } });
      stub.answer = JSON_OK;
      await one.get('/x', call());
      rmSync(path);
      await new Promise((resolve) => setTimeout(resolve, 1_050));
      await one.get('/x', call());
      expect(stub.calls.map((each) => each.headers.authorization)).toEqual(['Bearer sk-first', 'Bearer sk-first', 'Bearer sk-second-key', 'Bearer sk-second-key']);
      expect(inspect(one, { depth: 8 })).not.toMatch(/ApiKey \{ key/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('takes its key out of what a backend says', async () => {
    stub.answer = { kind: 'json', status: 400, body: { error: { message: 'Bad request with key sk-secret-1234567 in it', type: 'x' } } };
    const error = await transport({ apiKey: { kind: 'value', value: 'sk-secret-1234567' } }).get('/x', call()).then(() => null, (thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'invalid_request', message: expect.stringContaining('with key [key] in it') });
    expect(inspect(error, { depth: 12 })).not.toContain('sk-secret-1234567');
  });
});

describe('ApiKey', () => {
  it.each([[''], ['  '], ['sk line\nbreak'], ['schlüssel']])('refuses %j without repeating it', (value) => {
    expect(() => new ApiKey({ kind: 'value', value })).toThrow(/^the key (is empty|holds characters)/);
  });

  it('says which variable or file is missing', () => {
    expect(() => new ApiKey({ kind: 'variable', name: 'AGENTOS_TEST_ABSENT_KEY' })).toThrow('AGENTOS_TEST_ABSENT_KEY');
    expect(() => new ApiKey({ kind: 'file', path: '/absent/key' })).toThrow('/absent/key');
  });

  it('shows itself nowhere', () => {
    const key = new ApiKey({ kind: 'value', value: 'sk-hidden' });
    expect(`${inspect(key)}${JSON.stringify({ key })}`).not.toContain('sk-hidden');
    expect(key.current()).toBe('sk-hidden');
  });
});

describe('parseBaseUrl', () => {
  it.each([
    ['http://127.0.0.1:8000/v1/', { origin: 'http://127.0.0.1:8000', path: '/v1', host: '127.0.0.1:8000' }],
    ['https://models.example', { origin: 'https://models.example', path: '', host: 'models.example' }],
  ])('reads %s', (text, parts) => {
    expect(parseBaseUrl(text)).toEqual(parts);
  });

  it.each(['localhost:8000', 'file:///etc/passwd', 'https://user:secret@models.example/v1', 'https://models.example/v1?key=secret', 'https://models.example/#x', ''])('refuses %s without repeating it', (text) => {
    expect(() => parseBaseUrl(text)).toThrow(/^(?!.*secret).*base URL/s);
  });
});

describe('readRetryAfter', () => {
  it.each([
    [{ 'retry-after': '7' }, 7], [{ 'retry-after': '0' }, 0], [{ 'retry-after-ms': '1500', 'retry-after': '9' }, 1.5], [{ 'retry-after': ['3', '4'] }, 3],
    [{ 'retry-after': '99999' }, 3600], [{ 'retry-after': 'soon' }, undefined], [{ 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' }, undefined], [{}, undefined],
  ])('reads %j', (headers, seconds) => {
    expect(readRetryAfter(headers as Record<string, string>)).toBe(seconds);
  });

  it('reads a date', () => {
    expect(readRetryAfter({ 'retry-after': new Date(Date.now() + 30_000).toUTCString() })).toBeGreaterThan(27);
  });
});
