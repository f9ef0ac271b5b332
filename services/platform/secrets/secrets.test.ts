import { mkdirSync, mkdtempSync, renameSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { startVault, type VaultStub } from '../../../conformance/ports/vault-stub.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { ConfigError, type Config } from '../config/load.ts';
import type { SecretRead } from './config-secrets.ts';
import { SecretHolder } from './live-secret.ts';
import { openConfig } from './open-config.ts';
import { parseReference } from './reference.ts';
import { FileSecrets } from './secrets-files.ts';
import { createSecretBox } from './secret-box.ts';
import { rotatingKeys, sealingKeys } from './signing-keys.ts';

const CANARY = 'sk-canary-7f3a91';
const folder = mkdtempSync(join(tmpdir(), 'agentos-secrets-'));
let files = 0;
const file = (text: string): string => {
  const path = join(folder, `secret-${(files += 1)}`);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
};

const open: Array<{ close(): Promise<void> }> = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});
async function configOf(env: Record<string, string>, lookMs = 20): Promise<Config> {
  const config = await openConfig({ service: 'model-policy', env, envFile: null, lookMs });
  open.push(config.secrets);
  return config;
}
async function vault(): Promise<VaultStub> {
  const stub = await startVault();
  open.push(stub);
  return stub;
}

describe('references', () => {
  it.each([
    ['vault://secret/agentos#openai', { scheme: 'vault', name: 'secret/agentos#openai' }],
    ['vault://kv/team/a/prod#key', { scheme: 'vault', name: 'kv/team/a/prod#key' }],
    ['aws-sm://agentos/prod#openai', { scheme: 'aws-sm', name: 'agentos/prod#openai' }],
    ['aws-sm://arn:aws:secretsmanager:eu-west-1:123456789012:secret:agentos-AbC123', { scheme: 'aws-sm', name: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:agentos-AbC123' }],
  ])('%s', (text, parsed) => expect(parseReference(text)).toEqual(parsed));

  it.each(['vault://secret', 'vault://secret/#f', 'vault://secret/a', 'vault://secret/a#', 'vault://secret/a#b#c', 'aws-sm://#f', 'aws-sm://a#', 'vault://secret/a b#c'])('refuses %s', async (text) => {
    await expect(configOf({ OPENAI_API_KEY: text, VAULT_ADDR: 'http://127.0.0.1:1' })).rejects.toThrow(/OPENAI_API_KEY holds a reference that cannot be read: .+ is not of the form (vault|aws-sm):\/\//);
  });
});

describe('resolving at the start', () => {
  it('puts what Vault keeps in the place of the references, one read for all fields of a secret', verifies(['PRS-10.2-02'], async () => {
    const stub = await vault();
    stub.put('secret', 'agentos', { openai: CANARY, database_url: 'postgres://u:p@db:5432/agentos' });
    const config = await configOf({ ...stub.env, OPENAI_API_KEY: 'vault://secret/agentos#openai', DATABASE_URL: 'vault://secret/agentos#database_url' });
    expect(config.values).toMatchObject({ OPENAI_API_KEY: CANARY, DATABASE_URL: 'postgres://u:p@db:5432/agentos' });
    expect(config.references).toEqual({ OPENAI_API_KEY: 'vault://secret/agentos#openai', DATABASE_URL: 'vault://secret/agentos#database_url' });
    expect(stub.reads('secret/data/agentos')).toBe(1);
  }));

  it('reads nothing for other services', async () => {
    const stub = await vault();
    const config = await configOf({ ...stub.env, AGENTOS_SQL_SOURCES: 'vault://secret/orchestrator#sql' });
    expect(config.values.AGENTOS_SQL_SOURCES).toBeUndefined();
    expect(stub.requests).toEqual([]);
  });

  it('names every secret that cannot be read: variable, adapter, what failed, what to do', async () => {
    const stub = await vault();
    stub.put('secret', 'agentos', { openai: CANARY });
    stub.forbid('secret', 'closed');
    const env = { ...stub.env, OPENAI_API_KEY: 'vault://secret/agentos#opanai', ANTHROPIC_API_KEY: 'vault://secret/closed#key', OLLAMA_API_KEY: 'vault://secret/absent#key' };
    const error = await configOf(env).catch((caught: unknown) => caught as ConfigError);
    expect(error).toBeInstanceOf(ConfigError);
    const lines = (error as ConfigError).message.split('\n').sort();
    expect(lines).toEqual([
      expect.stringMatching(/^ANTHROPIC_API_KEY \(vault: vault:\/\/secret\/closed#key\) could not be read\. Vault at http:\S+ answers 403 \(1 error occurred: \* permission denied\) .+ Let this node read it/),
      expect.stringMatching(/^OLLAMA_API_KEY \(vault: .+ answers 404.+ Put it there, or correct the reference\.$/),
      expect.stringMatching(/^OPENAI_API_KEY \(vault: .+ has no field 'opanai'; its fields are openai\. Put it there/),
    ]);
    expect((error as ConfigError).exitCode).toBe(3);
    expect((error as ConfigError).message).not.toContain(CANARY);
    expect((error as ConfigError).message).not.toContain(stub.token);
  });

  it('answers with the code of a missing dependency when the manager is away or sealed', async () => {
    const stub = await vault();
    stub.fault('sealed');
    await expect(configOf({ ...stub.env, OPENAI_API_KEY: 'vault://secret/agentos#openai' })).rejects.toMatchObject({ exitCode: 4, message: expect.stringMatching(/503.+sealed.+Bring Vault back/s) as string });
    await expect(configOf({ ...stub.env, VAULT_ADDR: 'http://127.0.0.1:1', OPENAI_API_KEY: 'vault://secret/agentos#openai' })).rejects.toMatchObject({ exitCode: 4, message: expect.stringMatching(/cannot be reached/) as string });
  });

  it.each([
    ['VAULT_ADDR', { VAULT_TOKEN: 't' }],
    ['VAULT_TOKEN', { VAULT_ADDR: 'http://127.0.0.1:1' }],
    ['AGENTOS_VAULT_SECRET_ID', { VAULT_ADDR: 'http://127.0.0.1:1', AGENTOS_VAULT_ROLE_ID: 'r' }],
    ['AGENTOS_VAULT_ROLE', { VAULT_ADDR: 'http://127.0.0.1:1', AGENTOS_VAULT_AUTH: 'kubernetes' }],
    ['VAULT_TOKEN', { VAULT_ADDR: 'http://127.0.0.1:1', VAULT_TOKEN: 'vault://secret/a#token' }],
  ])('says that %s is missing in %j', async (variable, env) => {
    await expect(configOf({ ...env, OPENAI_API_KEY: 'vault://secret/agentos#openai' })).rejects.toMatchObject({ variable, exitCode: 3 });
  });

  it('is no file of any size: a path to something else is told of and not read', async () => {
    const path = file('x'.repeat(1024 * 1024 + 1));
    await expect(configOf({ OPENAI_API_KEY_FILE: path })).rejects.toThrow(/1048577 bytes, which no secret has|OPENAI_API_KEY/);
    await expect(new FileSecrets().get(null, path)).rejects.toMatchObject({ message: `The file ${path} has 1048577 bytes, which no secret has.` });
  });

  it('holds the value of a reference to the type of its variable', async () => {
    const stub = await vault();
    stub.put('secret', 'agentos', { url: 'hunter2' });
    await expect(configOf({ ...stub.env, DATABASE_URL: 'vault://secret/agentos#url' })).rejects.toThrow('DATABASE_URL is (redacted); it must be a URL');
  });
});

describe('rotation without a restart', () => {
  it('of a file that is written anew, replaced by rename, or swapped by link as Kubernetes does', async () => {
    const mount = mkdtempSync(join(tmpdir(), 'agentos-mount-'));
    const publish = (name: string, text: string): void => {
      mkdirSync(join(mount, name));
      writeFileSync(join(mount, name, 'key'), text, { mode: 0o600 });
      symlinkSync(name, join(mount, '..data_tmp'));
      renameSync(join(mount, '..data_tmp'), join(mount, '..data'));
    };
    publish('..1', 'first');
    symlinkSync(join('..data', 'key'), join(mount, 'key'));
    const config = await configOf({ OPENAI_API_KEY_FILE: join(mount, 'key') });
    const live = config.secrets.live('OPENAI_API_KEY')!;
    const seen: string[] = [];
    live.watch((value) => seen.push(value));
    expect(live.current()).toBe('first');
    publish('..2', 'second');
    await expect.poll(() => live.current()).toBe('second');
    writeFileSync(join(mount, '..2', 'key'), 'third\n');
    await expect.poll(() => live.current()).toBe('third');
    writeFileSync(join(mount, 'other'), 'fourth', { mode: 0o600 });
    unlinkSync(join(mount, 'key'));
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(live.current(), 'a file that is gone for a moment').toBe('third');
    renameSync(join(mount, 'other'), join(mount, 'key'));
    await expect.poll(() => live.current()).toBe('fourth');
    expect(seen).toEqual(['second', 'third', 'fourth']);
  });

  it('leaves a value in use that the new one cannot replace', async () => {
    const path = file('postgres://u:p@db/agentos');
    const config = await configOf({ DATABASE_URL_FILE: path });
    const lines: string[] = [];
    config.secrets.attach({ log: pino({}, { write: (line: string) => void lines.push(line) }) });
    writeFileSync(path, 'hunter2');
    await expect.poll(() => lines.join('')).toMatch(/its new value cannot be used: DATABASE_URL is \(redacted\)/);
    expect(config.secrets.live('DATABASE_URL')!.current()).toBe('postgres://u:p@db/agentos');
    writeFileSync(path, 'postgres://u:p2@db/agentos');
    await expect.poll(() => config.secrets.live('DATABASE_URL')!.current()).toBe('postgres://u:p2@db/agentos');
    expect(lines.filter((line) => line.includes('could not be read again')), 'told of once').toHaveLength(1);
    expect(lines.join('')).not.toMatch(/hunter2|p2@/);
  });

  it('of a reference, at the interval or when somebody was refused with it', async () => {
    const stub = await vault();
    stub.put('secret', 'agentos', { openai: 'first' });
    const config = await configOf({ ...stub.env, OPENAI_API_KEY: 'vault://secret/agentos#openai', AGENTOS_SECRETS_REFRESH_SECONDS: '1' });
    const live = config.secrets.live('OPENAI_API_KEY')!;
    stub.put('secret', 'agentos', { openai: 'second' });
    await expect.poll(() => live.current(), { timeout: 5_000 }).toBe('second');
    stub.fault('sealed');
    await config.secrets.refresh();
    expect(live.current()).toBe('second');
    stub.fault(null);
    stub.put('secret', 'agentos', { openai: 'third' });
    await config.secrets.refresh();
    expect(live.current()).toBe('third');
  });

  it('is not asked for more often than every two seconds by those who were refused', async () => {
    const stub = await vault();
    stub.put('secret', 'agentos', { openai: 'first' });
    const config = await configOf({ ...stub.env, OPENAI_API_KEY: 'vault://secret/agentos#openai' });
    const live = config.secrets.live('OPENAI_API_KEY')!;
    stub.put('secret', 'agentos', { openai: 'second' });
    await expect.poll(() => { live.refused(); return live.current(); }, { timeout: 6_000, interval: 20 }).toBe('second');
    for (let i = 0; i < 50; i += 1) live.refused();
    expect(stub.reads('secret/data/agentos')).toBe(2);
  });
});

describe('a key in overlap', () => {
  it('signs with the old one for half of it, accepts both for all of it', () => {
    let now = 0;
    const holder = new SecretHolder('a', { overlapMs: 100, now: () => now });
    expect([holder.settled(), holder.accepted()]).toEqual(['a', ['a']]);
    now = 1_000;
    holder.replace('b');
    expect([holder.current(), holder.settled(), holder.accepted()]).toEqual(['b', 'a', ['b', 'a']]);
    now = 1_049;
    expect(holder.settled()).toBe('a');
    now = 1_050;
    expect([holder.settled(), holder.accepted()]).toEqual(['b', ['b', 'a']]);
    now = 1_100;
    expect(holder.accepted()).toEqual(['b']);
    holder.replace('c');
    holder.replace('d');
    expect([holder.settled(), holder.accepted()]).toEqual(['b', ['d', 'c', 'b']]);
  });

  it('signs and seals: tokens by both keys are taken, what either sealed is opened', async () => {
    const [one, two, older] = ['1', '2', '0'].map((digit) => digit.repeat(40)) as [string, string, string];
    const path = file(one);
    const config = await configOf({ AGENTOS_SIGNING_KEY_FILE: path, AGENTOS_SIGNING_KEY_PREVIOUS_FILE: file(older), AGENTOS_SECRETS_OVERLAP_SECONDS: '100' });
    const keys = rotatingKeys(config, (secret) => new TextEncoder().encode(secret))!;
    const text = (key: Uint8Array): string => new TextDecoder().decode(key);
    const box = createSecretBox(sealingKeys(config));
    const sealed = [createSecretBox(older).seal('from before', ['p']), box.seal('from the first', ['p'])];
    writeFileSync(path, two);
    await expect.poll(() => config.secrets.live('AGENTOS_SIGNING_KEY')!.current()).toBe(two);
    expect(text(keys.signing())).toBe(one);
    expect(keys.accepted().map(text)).toEqual([two, one, older]);
    expect(keys.accepted()[1], 'the same array for the same key').toBe(keys.signing());
    const third = box.seal('from the second', ['p']);
    expect(() => createSecretBox(one).open(third, ['p']), 'the new key seals').toThrow(/another AGENTOS_SIGNING_KEY/);
    expect([...sealed, third].map((each) => box.open(each, ['p']))).toEqual(['from before', 'from the first', 'from the second']);
  });
});

describe('every read', () => {
  it('is told to the audit, those of the start included: name, adapter, version, never the value', verifies(['PRS-10.2-03'], async () => {
    const stub = await vault();
    stub.put('secret', 'agentos', { openai: CANARY });
    const path = file(`${CANARY}-file`);
    const config = await configOf({ ...stub.env, OPENAI_API_KEY: 'vault://secret/agentos#openai', ANTHROPIC_API_KEY_FILE: path, OLLAMA_API_KEY: `${CANARY}-plain` }, 60_000);
    const reads: SecretRead[] = [];
    config.secrets.attach({ audit: (read) => void reads.push(read) });
    const told = (): unknown[] => reads.splice(0).map(({ atMs: _at, ...read }) => read).sort((a, b) => a.name.localeCompare(b.name));
    const at = expect.any(String) as string;
    expect(told()).toEqual([
      { name: 'ANTHROPIC_API_KEY', adapter: 'files', version: at, outcome: 'allowed', changed: false },
      { name: 'OLLAMA_API_KEY', adapter: 'environment', version: null, outcome: 'allowed', changed: false },
      { name: 'OPENAI_API_KEY', adapter: 'vault', version: '1', outcome: 'allowed', changed: false },
      { name: 'VAULT_TOKEN', adapter: 'environment', version: null, outcome: 'allowed', changed: false },
    ]);
    await config.secrets.refresh();
    expect(told(), 'a file that did not change is not read').toEqual([{ name: 'OPENAI_API_KEY', adapter: 'vault', version: '1', outcome: 'allowed', changed: false }]);
    stub.put('secret', 'agentos', { openai: `${CANARY}-2` });
    utimesSync(path, new Date(), new Date(Date.now() + 5_000));
    await config.secrets.refresh();
    expect(told()).toMatchObject([{ name: 'ANTHROPIC_API_KEY', changed: true }, { name: 'OPENAI_API_KEY', version: '2', changed: true }]);
    stub.fault('forbidden');
    await config.secrets.refresh();
    expect(told()).toEqual([{ name: 'OPENAI_API_KEY', adapter: 'vault', version: null, outcome: 'failed', changed: false }]);
  }));

  it('leaves no value in logs, errors, or in what shows an object', async () => {
    const stub = await vault();
    stub.put('secret', 'agentos', { openai: CANARY });
    const path = file(`${CANARY}-file`);
    const lines: string[] = [];
    const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
    const config = await configOf({ ...stub.env, OPENAI_API_KEY: 'vault://secret/agentos#openai', DATABASE_URL: `postgres://u:${CANARY}@db/x`, ANTHROPIC_API_KEY_FILE: path });
    config.secrets.attach({ log });
    const live = config.secrets.live('OPENAI_API_KEY')!;
    log.info({ live, secrets: config.secrets }, 'shown by mistake');
    lines.push(inspect(live, { depth: 5, showHidden: true }), JSON.stringify({ live }), inspect(config.secrets, { depth: 8 }));
    stub.put('secret', 'agentos', { openai: `${CANARY}-2` });
    writeFileSync(path, `${CANARY}-file-2`);
    await config.secrets.refresh();
    for (const fault of ['forbidden', 'sealed', 'garbage', 'rate-limited'] as const) {
      stub.fault(fault);
      await config.secrets.refresh();
    }
    expect(lines.join('')).toContain('OPENAI_API_KEY has a new value');
    expect(lines.join('')).toContain('could not be read again');
    expect(lines.join('')).not.toContain(CANARY);
    expect(lines.join('')).not.toContain(stub.token);
  });
});
