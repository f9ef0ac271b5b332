import { chmodSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatEnvLine, parseEnvFile } from './env-file.ts';
import { ConfigError, loadConfig } from './load.ts';
import { requireKnownIdentity, resolveMode, resolveModeRules, secretFileWarnings } from './mode.ts';
import { openSecretFiles } from './secret-files.ts';
import { unsafeSettings, UnsafeSettingsError } from './unsafe-settings.ts';
import { VARIABLES } from './variables.ts';

const folder = mkdtempSync(join(tmpdir(), 'agentos-config-'));
let files = 0;
function file(text: string): string {
  const path = join(folder, `file-${(files += 1)}`);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}
const load = (env: Record<string, string> = {}, envFile: string | null = null) => loadConfig({ env, envFile });

describe('precedence', () => {
  const envFile = file('AGENTOS_MODEL_POLICY_PORT=3\nAGENTOS_LOG_LEVEL=warn\n');
  it.each([
    ['flag', { flags: { AGENTOS_MODEL_POLICY_PORT: 1 }, env: { AGENTOS_MODEL_POLICY_PORT: '2' }, envFile }, 1, 'flag'],
    ['environment', { env: { AGENTOS_MODEL_POLICY_PORT: '2' }, envFile }, 2, 'environment'],
    ['file', { env: {}, envFile }, 3, 'file'],
    ['an empty variable counts as not set', { env: { AGENTOS_MODEL_POLICY_PORT: '' }, envFile }, 3, 'file'],
    ['given defaults', { env: {}, envFile: null, defaults: { AGENTOS_MODEL_POLICY_PORT: 4 } }, 4, 'default'],
    ['the table', { env: {}, envFile: null }, 50082, 'default'],
  ] as const)('%s', (_, options, value, source) => {
    const config = loadConfig(options);
    expect(config.values.AGENTOS_MODEL_POLICY_PORT).toBe(value);
    expect(config.sources.AGENTOS_MODEL_POLICY_PORT).toBe(source);
  });

  it('finds the file where AGENTOS_ENV_FILE says, and does without when there is none', () => {
    expect(loadConfig({ env: { AGENTOS_ENV_FILE: envFile } }).values.AGENTOS_LOG_LEVEL).toBe('warn');
    expect(loadConfig({ env: { AGENTOS_ENV_FILE: join(folder, 'absent') } }).values.AGENTOS_LOG_LEVEL).toBe('info');
  });
});

describe('secrets', () => {
  it('can be given as files, and the variable itself wins', () => {
    const path = file('from-the-file\n');
    expect(load({ OPENAI_API_KEY_FILE: path }).values.OPENAI_API_KEY).toBe('from-the-file');
    expect(load({ OPENAI_API_KEY_FILE: path, OPENAI_API_KEY: 'direct' }).values.OPENAI_API_KEY).toBe('direct');
    expect(load({ OPENAI_API_KEY_FILE: path }).secretFiles).toEqual({ OPENAI_API_KEY: path });
    expect(load({ OPENAI_API_KEY_FILE: path, OPENAI_API_KEY: 'direct' }).secretFiles).toEqual({});
    expect(() => load({ OPENAI_API_KEY_FILE: '/nowhere/at/all' })).toThrow(/OPENAI_API_KEY_FILE names \/nowhere\/at\/all, which cannot be read/);
  });

  it('are not shown when they are wrong', () => {
    expect(() => load({ DATABASE_URL: 'hunter2' })).toThrow('DATABASE_URL is (redacted); it must be a URL such as http://127.0.0.1:50082.');
  });

  it('reads both spellings of the federation\'s file names (C-31)', () => {
    expect(load({ AGENTOS_FED_CA_CERT_FILE: '/etc/ca.pem' }).values.AGENTOS_FED_CA_CERT).toBe('/etc/ca.pem');
    expect(load({ AGENTOS_FED_CA_CERT: '/etc/ca.pem' }).values.AGENTOS_FED_CA_CERT).toBe('/etc/ca.pem');
    expect(load({ AGENTOS_FED_CA_CERT_FILE: '/etc/ca.pem' }).warnings).toEqual([]);
  });
});

describe('values', () => {
  it.each([
    ['AGENTOS_MODEL_POLICY_PORT', '99999', /must be a whole number from 0 to 65535/],
    ['AGENTOS_MODEL_POLICY_PORT', '80.5', /"80\.5"; it must be a whole number/],
    ['AGENTOS_MODEL_POLICY_PORT', '0x50', /a whole number/],
    ['AGENTOS_QUOTA_INVOKE_QPS', '-1', /a number of at least 0/],
    ['AGENTOS_MODE', 'production', /"production"; it must be one of demo, dev, prod/],
    ['AGENTOS_CONTRACT_CHECK', 'maybe', /true or false/],
    ['AGENTOS_MODEL_POLICY_URL', 'localhost', /a URL/],
  ])('%s=%s is refused', (name, value, message) => {
    try {
      load({ [name]: value });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as ConfigError).variable).toBe(name);
      expect((error as ConfigError).message).toMatch(message);
    }
  });

  it.each([['1', true], ['TRUE', true], ['on', true], ['yes', true], ['0', false], ['off', false], ['No', false]])('AGENTOS_CONTRACT_CHECK=%s is %s', (text, value) => {
    expect(load({ AGENTOS_CONTRACT_CHECK: text }).values.AGENTOS_CONTRACT_CHECK).toBe(value);
  });

  it('reads lists', () => {
    expect(load({ AGENTOS_JWT_ALGORITHMS: 'RS256, EdDSA,' }).values.AGENTOS_JWT_ALGORITHMS).toEqual(['RS256', 'EdDSA']);
    expect(load().values.AGENTOS_JWT_ALGORITHMS).toEqual(['RS256', 'ES256', 'EdDSA']);
  });
});

describe('unknown names', () => {
  it('are reported with the nearest known one, wherever they stand', () => {
    const config = load({ AGENTOS_LOGLEVEL: 'info', PATH: '/bin' }, file('AGENTOS_SIGNINGKEY=x\nAGENTOS_ZZZZZZZZZZZZZZZZZZZZZZZZ=1\n'));
    expect(config.warnings).toEqual([
      'AGENTOS_LOGLEVEL in the environment is not known and is ignored. Did you mean AGENTOS_LOG_LEVEL?',
      'AGENTOS_SIGNINGKEY in the environment file is not known and is ignored. Did you mean AGENTOS_SIGNING_KEY?',
      'AGENTOS_ZZZZZZZZZZZZZZZZZZZZZZZZ in the environment file is not known and is ignored.',
    ]);
  });

  it('do not include ours', () => {
    expect(load(Object.fromEntries(VARIABLES.filter((variable) => variable.name.startsWith('AGENTOS_')).map((variable) => [variable.name, '']))).warnings).toEqual([]);
  });
});

describe('the environment file', () => {
  it.each([
    ['A=1', '1'],
    ['  export A = 1  ', '1'],
    ['A=a b # comment', 'a b'],
    ['A=a#b', 'a#b'],
    ["A='a # b'", 'a # b'],
    ['A="a # b" # c', 'a # b'],
    ['A="line\\nnext\\t\\"q\\" \\\\"', 'line\nnext\t"q" \\'],
    ['A=', ''],
    ['A=# nothing', ''],
    ['A=postgres://u:p@h/d?x=y', 'postgres://u:p@h/d?x=y'],
  ])('%s', (text, value) => {
    expect(parseEnvFile(`# head\r\n\r\n${text}\r\n`).lines).toEqual([{ name: 'A', value, line: 3 }]);
  });

  it('says which lines it cannot read', () => {
    const path = file('GOOD=1\nno equals sign\n1A=2\nB="open\nC=\'x\' y\n');
    expect(parseEnvFile('GOOD=1\nno equals sign\n1A=2\nB="open\nC=\'x\' y\n').unreadable).toEqual([2, 3, 4, 5]);
    expect(load({}, path).warnings).toContain(`${path}:2 is not KEY=VALUE and is ignored.`);
  });

  it.each(['plain', 'with space', 'quote " and \\ back', 'line\nbreak', "it's", '# hash', ''])('reads back what it writes: %j', (value) => {
    expect(parseEnvFile(formatEnvLine('A', value)).lines).toEqual([{ name: 'A', value, line: 1 }]);
  });
});

describe('modes', () => {
  const rules = (env: Record<string, string>) => resolveModeRules(load(env));
  const prod = { AGENTOS_MODE: 'prod', AGENTOS_SIGNING_KEY_FILE: file('x'.repeat(40)), AGENTOS_JWT_ISSUER: 'https://issuer.test', AGENTOS_TRUSTED_PROXY: 'loopback', AGENTOS_DATA_DIR: folder };

  it('is demo when nothing is said; AGENTOS_PROFILE is an older name (C-34)', () => {
    expect(resolveMode(load())).toBe('demo');
    expect(resolveMode(load({ AGENTOS_PROFILE: 'prod' }))).toBe('prod');
    expect(resolveMode(load({ AGENTOS_PROFILE: 'federated', AGENTOS_MODE: 'dev' }))).toBe('dev');
    expect(() => resolveMode(load({ AGENTOS_PROFILE: 'prod', AGENTOS_MODE: 'dev' }))).toThrow(/Set only AGENTOS_MODE/);
  });

  it('says what each means', () => {
    expect(rules({})).toMatchObject({ headerIdentity: true, implicitAgents: true, contractCheck: false, idempotencyKeyRequired: false });
    expect(rules({ AGENTOS_MODE: 'dev' })).toMatchObject({ headerIdentity: false, implicitAgents: true, contractCheck: true, metricsRequireAuth: false });
    expect(rules(prod)).toMatchObject({ headerIdentity: false, implicitAgents: false, contractCheck: false, metricsRequireAuth: true, idempotencyKeyRequired: true });
  });

  it.each([
    ['AGENTOS_HOST', { AGENTOS_HOST: '0.0.0.0' }],
    ['AGENTOS_ALLOW_DEV_HEADERS', { AGENTOS_MODE: 'dev', AGENTOS_ALLOW_DEV_HEADERS: '1' }],
  ])('refuses %s in %j', (variable, env) => {
    expect(() => rules(env)).toThrow(ConfigError);
    expect(() => rules(env)).toThrow(new RegExp(`^${variable} `));
  });

  const without = (name: keyof typeof prod): Record<string, string> => ({ ...prod, [name]: '' });
  const unsafe: ReadonlyArray<readonly [string, Record<string, string>]> = [
    ['AGENTOS_ALLOW_DEV_HEADERS', { ...prod, AGENTOS_ALLOW_DEV_HEADERS: '1' }],
    ['AGENTOS_DEFAULT_TENANT', { ...prod, AGENTOS_DEFAULT_TENANT: 'tnt_demo' }],
    ['AGENTOS_IMPLICIT_AGENTS', { ...prod, AGENTOS_IMPLICIT_AGENTS: 'on' }],
    ['AGENTOS_METRICS_REQUIRE_AUTH', { ...prod, AGENTOS_METRICS_REQUIRE_AUTH: '0' }],
    ['AGENTOS_STORE', { ...prod, AGENTOS_STORE: 'memory' }],
    ['AGENTOS_SIGNING_KEY', without('AGENTOS_SIGNING_KEY_FILE')],
    ['AGENTOS_SIGNING_KEY', { ...prod, AGENTOS_SIGNING_KEY_FILE: file('short') }],
    ['AGENTOS_SIGNING_KEY', { ...without('AGENTOS_SIGNING_KEY_FILE'), AGENTOS_SIGNING_KEY: 'x'.repeat(40) }],
    ['OPENAI_API_KEY', { ...prod, OPENAI_API_KEY: 'sk-1' }],
    ['DATABASE_URL', { ...prod, DATABASE_URL: 'postgres://u:p@db/agentos' }],
    ['NATS_URL', { ...prod, NATS_URL: 'nats://a:4222,nats://u:p@b:4222' }],
    ['AGENTOS_TLS_CERT_FILE', without('AGENTOS_TRUSTED_PROXY')],
    ['AGENTOS_TLS_KEY_FILE', { ...prod, AGENTOS_TLS_CERT_FILE: '/etc/tls.crt' }],
    ['AGENTOS_TRUSTED_PROXY', { ...prod, AGENTOS_TRUSTED_PROXY: 'loopback,0.0.0.0/0' }],
    ['VAULT_ADDR', { ...prod, VAULT_ADDR: 'http://vault.internal:8200' }],
    ['AGENTOS_JWT_JWKS_URI', { ...prod, AGENTOS_JWT_JWKS_URI: 'http://issuer.test/keys' }],
  ];
  it.each(unsafe)('prod refuses %s in %j, and says what to do', (variable, env) => {
    expect(() => rules(env)).toThrow(UnsafeSettingsError);
    const found = unsafeSettings(load(env), { federation: false });
    expect(found.map((each) => each.variable)).toEqual([variable]);
    expect(found[0]!.instead).toMatch(/^(Set|Unset|Write|Put|Run)\b.*\.?$/);
    expect(found[0]!.problem).not.toMatch(/sk-1|u:p@|xxxx/);
  });

  it('prod names everything at once, and counts it', () => {
    const env = { AGENTOS_MODE: 'prod', AGENTOS_DEFAULT_TENANT: 'tnt_demo', AGENTOS_IMPLICIT_AGENTS: 'on', OPENAI_API_KEY: 'sk-1' };
    try {
      rules(env);
      expect.unreachable();
    } catch (error) {
      expect((error as UnsafeSettingsError).unsafe.map((each) => each.variable)).toEqual(['AGENTOS_DEFAULT_TENANT', 'AGENTOS_IMPLICIT_AGENTS', 'AGENTOS_SIGNING_KEY', 'AGENTOS_DATA_DIR', 'OPENAI_API_KEY', 'AGENTOS_JWT_ISSUER', 'AGENTOS_TLS_CERT_FILE']);
      expect((error as Error).message).toMatch(/^prod refuses 7 unsafe settings:\n {2}AGENTOS_DEFAULT_TENANT is set/);
      expect((error as Error).message).not.toContain('sk-1');
    }
  });

  it('prod takes secrets as files and references, addresses without a password, and the caller\'s own key', () => {
    const fine = {
      ...prod, OPENAI_API_KEY_FILE: file('sk-1'), ANTHROPIC_API_KEY: 'vault://secret/agentos#anthropic', DATABASE_URL: 'postgres://agentos@db/agentos?sslmode=verify-full', NATS_URL: 'nats://a:4222,nats://b:4222',
      AGENTOS_API_KEY: 'aos_x', AGENTOS_JWT_PUBLIC_KEY: '-----BEGIN PUBLIC KEY-----', VAULT_ADDR: 'http://127.0.0.1:8200',
    };
    expect(unsafeSettings(load(fine), { federation: true })).toEqual([]);
    expect(() => rules(fine)).not.toThrow();
  });

  it('prod refuses peers without certificates, and only where Federation is started', () => {
    const named = { ...prod, AGENTOS_HOST: '0.0.0.0', AGENTOS_PEERS_FILE: file('{"peers": [{"stack_id": "stk_b"}]}') };
    const certificates = { AGENTOS_FED_SERVER_CERT: 'a.crt', AGENTOS_FED_SERVER_KEY: 'a.key', AGENTOS_FED_CA_CERT: 'ca.crt' };
    expect(unsafeSettings(load(named), { federation: false })).toEqual([]);
    expect(unsafeSettings(load({ ...named, ...certificates }), { federation: true })).toEqual([]);
    expect(unsafeSettings(load({ ...named, AGENTOS_PEERS_FILE: file('{"local": {}, "peers": []}') }), { federation: true })).toEqual([]);
    const { AGENTOS_FED_CA_CERT: _, ...half } = certificates;
    const [unsafe, ...others] = unsafeSettings(load({ ...named, ...half }), { federation: true });
    expect(others).toEqual([]);
    expect(unsafe).toMatchObject({ variable: 'AGENTOS_PEERS_FILE', problem: expect.stringContaining('AGENTOS_FED_CA_CERT is not set') as string });
  });

  it('prod without an issuer asks the directory for keys; with other faults it names that gap among them', async () => {
    const config = load(without('AGENTOS_JWT_ISSUER'));
    expect(() => resolveModeRules(config)).not.toThrow();
    await expect(requireKnownIdentity(config, async () => false)).rejects.toThrow(/AGENTOS_JWT_ISSUER is not set/);
    await expect(requireKnownIdentity(config, async () => true)).resolves.toBeUndefined();
    await expect(requireKnownIdentity(load(prod), () => expect.unreachable())).resolves.toBeUndefined();
    await expect(requireKnownIdentity(load(), () => expect.unreachable())).resolves.toBeUndefined();
    expect(() => rules({ ...without('AGENTOS_JWT_ISSUER'), AGENTOS_DEFAULT_TENANT: 'tnt_demo' })).toThrow(/AGENTOS_DEFAULT_TENANT[\s\S]+AGENTOS_JWT_ISSUER/);
  });
});

describe('files with secrets', () => {
  const base = { AGENTOS_MODE: 'prod', AGENTOS_JWT_ISSUER: 'https://issuer.test', AGENTOS_TRUSTED_PROXY: 'loopback' };
  const open = (env: Record<string, string>) => openSecretFiles(load({ AGENTOS_DATA_DIR: join(folder, 'nothing-here'), ...env }));

  it.each([[0o600, null], [0o400, null], [0o640, '0640'], [0o604, '0604'], [0o644, '0644'], [0o622, '0622']])('of mode %o', (mode, told) => {
    const path = file('x'.repeat(40));
    chmodSync(path, mode);
    expect(open({ AGENTOS_SIGNING_KEY_FILE: path })).toEqual(told === null ? [] : [{ variable: 'AGENTOS_SIGNING_KEY_FILE', path, mode: told }]);
    const env = { ...base, AGENTOS_DATA_DIR: folder, AGENTOS_SIGNING_KEY_FILE: path };
    if (told === null) expect(() => resolveModeRules(load(env))).not.toThrow();
    else expect(() => resolveModeRules(load(env))).toThrow(`chmod 600 ${path}`);
    expect(secretFileWarnings(load({ ...env, AGENTOS_MODE: 'dev' }))).toHaveLength(told === null ? 0 : 1);
    expect(secretFileWarnings(load(env))).toEqual([]);
  });

  it('are looked for in the state folder, the folder included', () => {
    const home = mkdtempSync(join(tmpdir(), 'agentos-home-'));
    const secrets = join(home, 'secrets');
    mkdirSync(secrets, { mode: 0o700 });
    writeFileSync(join(secrets, 'signing-key'), 'x', { mode: 0o600 });
    expect(open({ AGENTOS_DATA_DIR: home })).toEqual([]);
    chmodSync(join(secrets, 'signing-key'), 0o644);
    chmodSync(secrets, 0o755);
    expect(open({ AGENTOS_DATA_DIR: home })).toEqual([{ variable: 'AGENTOS_DATA_DIR', path: secrets, mode: '0755' }, { variable: 'AGENTOS_DATA_DIR', path: join(secrets, 'signing-key'), mode: '0644' }]);
  });

  it('that Kubernetes mounted are as it makes them; another link is looked at where it ends', () => {
    const mount = mkdtempSync(join(tmpdir(), 'agentos-mount-'));
    const moment = join(mount, '..2026_11_21_12_00_00.123456789');
    mkdirSync(moment);
    writeFileSync(join(moment, 'key'), 'x'.repeat(40), { mode: 0o644 });
    symlinkSync(moment, join(mount, '..data'));
    symlinkSync(join('..data', 'key'), join(mount, 'key'));
    expect(open({ AGENTOS_SIGNING_KEY_FILE: join(mount, 'key') })).toEqual([]);
    const path = file('x'.repeat(40));
    chmodSync(path, 0o644);
    symlinkSync(path, join(mount, 'link'));
    expect(open({ AGENTOS_SIGNING_KEY_FILE: join(mount, 'link') })).toHaveLength(1);
  });
});

it('names each variable once, with a description that is a sentence', () => {
  const names = VARIABLES.map((variable) => variable.name);
  expect(new Set(names).size).toBe(names.length);
  for (const variable of VARIABLES) expect(variable.description, variable.name).toMatch(/^[A-Z].*\.$/);
});
