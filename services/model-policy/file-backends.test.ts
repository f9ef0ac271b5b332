import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../platform/config/load.ts';
import { openConfig } from '../platform/secrets/open-config.ts';
import { createLogger } from '../platform/telemetry/logger.ts';
import { openBackends, type Backends } from './backends.ts';

const log = createLogger({ service: 'model-policy', level: 'silent' });
let folder: string;
let path: string;
let backends: Backends | null = null;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-file-'));
  path = join(folder, 'models.json');
});
afterEach(async () => {
  await backends?.close();
  backends = null;
  rmSync(folder, { recursive: true, force: true });
});

const CONFIG = { backends: { here: { kind: 'builtin' }, there: { kind: 'vllm', base_url: 'http://127.0.0.1:9/v1', timeout_ms: 500 } }, models: [{ id: 'builtin-fast-1', backend: 'here' }, { id: 'far', backend: 'there', backend_model: 'org/far' }] };
const open = async (value: unknown): Promise<Backends> => {
  writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value));
  return (backends = await openBackends(loadConfig({ env: { AGENTOS_MODELS_FILE: path }, envFile: null }).values, log));
};

describe('openFileBackends', () => {
  it('has the models of the file and no others', async () => {
    const { catalogue, facts, source } = await open(CONFIG);
    expect(catalogue.models.map(({ modelId, backend, backendModel, price, tiers }) => [modelId, backend, backendModel, price, tiers])).toEqual([['builtin-fast-1', 'here', 'builtin-fast-1', null, []], ['far', 'there', 'org/far', null, []]]);
    expect(source).toMatchObject({ kind: 'file', path, revision: 1, error: null });
    expect(facts[1]).toMatchObject({ baseUrl: 'http://127.0.0.1:9/v1', timeoutMs: 500 });
  });

  it.each([
    ['a member that is not known', { ...CONFIG, rooting: {} }, /\/rooting is not a known member; did you mean routing/],
    ['a key that is not there', { ...CONFIG, backends: { ...CONFIG.backends, there: { kind: 'openai', api_key_env: 'AGENTOS_TEST_NO_SUCH_KEY' } } }, /\/backends\/there cannot be opened: the variable AGENTOS_TEST_NO_SUCH_KEY/],
    ['a password in an address', { ...CONFIG, backends: { ...CONFIG.backends, there: { kind: 'vllm', base_url: 'http://user:word@127.0.0.1:9' } } }, /^(?!.*user:word).*the base URL holds a user or password/],
    ['an address that is missing', { ...CONFIG, backends: { ...CONFIG.backends, there: { kind: 'vllm' } } }, /\/backends\/there cannot be opened: the base URL is missing/],
  ])('does not start with %s', async (_what, value, message) => {
    await expect(open(value)).rejects.toMatchObject({ name: 'ConfigError', variable: 'AGENTOS_MODELS_FILE', message: expect.stringMatching(message) });
  });

  it('takes a variable of the node from wherever the node has it, and follows it', async () => {
    const keyFile = join(folder, 'key');
    writeFileSync(keyFile, 'sk-first', { mode: 0o600 });
    const seen: string[] = [];
    const upstream = createServer((request, response) => {
      seen.push(String(request.headers.authorization));
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"data":[]}');
    });
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    const there = { kind: 'openai_compatible', base_url: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`, api_key_env: 'OPENAI_API_KEY' };
    writeFileSync(path, JSON.stringify({ ...CONFIG, backends: { ...CONFIG.backends, there } }));
    const config = await openConfig({ service: 'model-policy', env: { AGENTOS_MODELS_FILE: path, OPENAI_API_KEY_FILE: keyFile }, envFile: null, lookMs: 20 });
    try {
      backends = await openBackends(config.values, log, config.secrets);
      const ask = async (): Promise<string | undefined> => (await backends!.providers[1]!.health(AbortSignal.timeout(2_000)), seen.at(-1));
      expect(await ask()).toBe('Bearer sk-first');
      writeFileSync(keyFile, 'sk-second');
      await vi.waitFor(async () => expect(await ask()).toBe('Bearer sk-second'), { timeout: 5_000 });
    } finally {
      await config.secrets.close();
      upstream.close();
    }
  });

  it('does not read any other variable in prod: it would be plain text', async () => {
    writeFileSync(path, JSON.stringify({ ...CONFIG, backends: { ...CONFIG.backends, there: { kind: 'openai', api_key_env: 'PATH' } } }));
    for (const env of [{ AGENTOS_MODE: 'prod' }, { AGENTOS_PROFILE: 'prod' }]) {
      await expect(openBackends(loadConfig({ env: { ...env, AGENTOS_MODELS_FILE: path }, envFile: null }).values, log)).rejects.toThrow(/\/backends\/there\/api_key_env names PATH, .+ prod refuses: use api_key_file/);
    }
  });

  it('does not start without its file', async () => {
    await expect(openBackends(loadConfig({ env: { AGENTOS_MODELS_FILE: join(folder, 'absent.yaml') }, envFile: null }).values, log)).rejects.toMatchObject({ variable: 'AGENTOS_MODELS_FILE' });
  });

  it('reads the file again on SIGHUP; backends that did not change stay the same, with what their circuits know', async () => {
    const opened = await open(CONFIG);
    const [here, there] = opened.providers;
    const seen: number[] = [];
    opened.onCatalogue((catalogue) => seen.push(catalogue.models.length));
    writeFileSync(path, JSON.stringify({ ...CONFIG, backends: { ...CONFIG.backends, there: { ...CONFIG.backends.there, timeout_ms: 700 } }, models: [...CONFIG.models, { id: 'near', backend: 'here', backend_model: 'builtin-fast-1' }] }));
    process.emit('SIGHUP');
    await vi.waitFor(() => expect(opened.source.revision).toBe(2));
    expect(opened.providers[0]).toBe(here);
    expect(opened.providers[1]).not.toBe(there);
    expect(opened.facts.map((each) => [each.name, each.timeoutMs])).toEqual([['here', 60_000], ['there', 700]]);
    expect(seen).toEqual([2, 3]);
  });

  it('keeps everything when the new file opens only in part, and takes the old text back without a word', async () => {
    const opened = await open(CONFIG);
    const before = [...opened.providers];
    writeFileSync(path, JSON.stringify({ ...CONFIG, backends: { here: { kind: 'builtin', timeout_ms: 900 }, there: { kind: 'vllm' } } }));
    await expect(opened.reload()).rejects.toMatchObject({ code: 'conflict', details: { reason: 'bad_configuration', errors: [{ path: '/backends/there', message: expect.stringContaining('base URL') }] } });
    expect(opened.providers).toEqual(before);
    expect(opened.source).toMatchObject({ revision: 1, error: { message: expect.stringContaining('/backends/there') } });
    writeFileSync(path, JSON.stringify(CONFIG));
    await vi.waitFor(() => expect(opened.source.error).toBeNull(), { timeout: 8_000 });
    expect(opened.source.revision).toBe(1);
  });
});
