import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifies } from '../../conformance/http/verifies.ts';
import { parseEnvFile } from '../../services/platform/config/env-file.ts';
import { loadConfig } from '../../services/platform/config/load.ts';
import { ensureEnvFile, renderEnvFile } from './env-file.ts';
import { loadSettings, rememberedModeFile, serviceEnvironment } from './settings.ts';
import { ensureStateFolder } from './state-folder.ts';

let folder: string;
beforeEach(() => { folder = mkdtempSync(path.join(tmpdir(), 'agentos-env-')); });
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the generated settings file', () => {
  it('is read by the services without a warning, for every mode and with every comment taken away', () => {
    for (const mode of ['demo', 'dev', 'prod'] as const) {
      const text = renderEnvFile({ mode });
      expect(parseEnvFile(text).unreadable).toEqual([]);
      const active = text.replace(/^# ([A-Z_]+=)/gm, '$1');
      const file = path.join(folder, mode);
      writeFileSync(file, active.replace(/^OPENAI_API_KEY_FILE=.*$/m, ''));
      const config = loadConfig({ env: {}, envFile: file });
      expect(config.warnings).toEqual([]);
      expect(config.values.AGENTOS_MODE).toBe(mode);
      expect(config.values.AGENTOS_DEFAULT_TENANT).toBe(mode === 'prod' ? undefined : 'tnt_demo');
    }
  });

  it('is made once, closed to others, and never overwritten', () => {
    const file = path.join(folder, '.agentos.env');
    expect(ensureEnvFile(file, { mode: 'demo' })).toBe(true);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    writeFileSync(file, 'AGENTOS_MODE=dev # mine\n');
    expect(ensureEnvFile(file, { mode: 'demo' })).toBe(false);
    expect(readFileSync(file, 'utf8')).toBe('AGENTOS_MODE=dev # mine\n');
  });
});

describe('settings', () => {
  const env = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({ AGENTOS_HOME: folder, ...more });
  const write = (text: string): void => writeFileSync(path.join(folder, '.agentos.env'), text);

  it('take the flag before the environment before the file before the default', verifies('PRS-8.1-10', () => {
    expect(loadSettings({}, env()).mode).toBe('demo');
    write('AGENTOS_MODE=dev\nAGENTOS_PROFILE=gpu-node\nAGENTOS_MODEL_POLICY_PORT=51082\n');
    expect(loadSettings({}, env())).toMatchObject({ mode: 'dev', profile: 'gpu-node', ports: { 'model-policy': 51082, 'agent-orchestrator': 50081 } });
    expect(loadSettings({}, env({ AGENTOS_MODE: 'prod' })).mode).toBe('prod');
    expect(loadSettings({ mode: 'demo', profile: 'federated' }, env({ AGENTOS_MODE: 'prod' }))).toMatchObject({ mode: 'demo', profile: 'federated' });
  }));

  it('read AGENTOS_PROFILE=dev as the mode (C-34)', () => {
    expect(loadSettings({}, env({ AGENTOS_PROFILE: 'dev' }))).toMatchObject({ mode: 'dev', profile: 'local' });
  });

  it('follow the running node unless told otherwise', () => {
    ensureStateFolder(folder);
    writeFileSync(rememberedModeFile(folder), 'dev\n');
    write('AGENTOS_MODE=demo\n');
    expect(loadSettings({ asBroughtUp: true }, env()).mode).toBe('dev');
    expect(loadSettings({ asBroughtUp: true }, env({ AGENTOS_MODE: 'prod' })).mode).toBe('prod');
  });

  it('never take protection from a node that nobody asked to lose it', () => {
    ensureStateFolder(folder);
    writeFileSync(rememberedModeFile(folder), 'prod\n');
    expect(loadSettings({}, env()).mode, 'nothing is said: it stays').toBe('prod');
    write('AGENTOS_MODE=demo\n');
    expect(() => loadSettings({}, env())).toThrow(expect.objectContaining({ exitCode: 3, message: expect.stringMatching(/in prod mode.* ask for demo/), next: expect.stringContaining('agentos up --mode demo') }));
    expect(loadSettings({ mode: 'demo' }, env()).mode, 'said once').toBe('demo');
    expect(loadSettings({}, env({ AGENTOS_MODE: 'dev' })).mode).toBe('dev');
    writeFileSync(rememberedModeFile(folder), 'demo\n');
    write('AGENTOS_MODE=prod\n');
    expect(loadSettings({}, env()).mode, 'more protection needs no word').toBe('prod');
    expect(loadSettings({}, env({ AGENTOS_PROFILE: 'dev', AGENTOS_MODE: 'dev' })).mode).toBe('dev');
  });

  it('refuse what cannot be, with the right exit code', () => {
    expect(() => loadSettings({ mode: 'staging' }, env())).toThrow(expect.objectContaining({ exitCode: 2 }));
    expect(() => loadSettings({}, env({ AGENTOS_MODE: 'staging' }))).toThrow(expect.objectContaining({ exitCode: 3 }));
    expect(() => loadSettings({}, env({ AGENTOS_FEDERATION_PORT: 'many' }))).toThrow(expect.objectContaining({ exitCode: 3 }));
  });

  it('hand the services what only up knows, and keep the caller\'s key from them', () => {
    const settings = loadSettings({}, env({ AGENTOS_MODEL_POLICY_PORT: '51082' }));
    const result = serviceEnvironment(settings, { databaseUrlFile: '/d', signingKeyFile: '/k' }, env({ AGENTOS_API_KEY: 'aos_live_secret', PATH: '/bin' }));
    expect(result).toMatchObject({ DATABASE_URL_FILE: '/d', AGENTOS_SIGNING_KEY_FILE: '/k', AGENTOS_MODEL_POLICY_URL: 'http://127.0.0.1:51082', AGENTOS_DEFAULT_TENANT: 'tnt_demo', AGENTOS_MODE: 'demo', PATH: '/bin' });
    expect(result).not.toHaveProperty('AGENTOS_API_KEY');
  });
});
