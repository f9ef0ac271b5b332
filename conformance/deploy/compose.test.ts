/** What the compose files promise, read from the files: every container of every variant, and nothing by hand. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { findVariable, VARIABLES, type Variable } from '../../services/platform/config/variables.ts';
import { ROOT } from '../architecture/sources.ts';
import { COMPOSE_FOLDER, readCompose, variablesOf, type ComposeFile, type ComposeService } from './compose-file.ts';
import { parseDockerfile } from './dockerfile.ts';

const IMAGE = `registry.example.com/agentos@sha256:${'0'.repeat(64)}`;
const VARIANTS = { dev: ['compose.yaml', 'compose.dev.yaml'], prod: ['compose.yaml', 'compose.prod.yaml'] } as const;
const PINNED = /@sha256:[0-9a-f]{64}$/;
const PORTS = { 'nodea-agent-orchestrator': 50081, 'nodea-model-policy': 50082, 'nodea-federation': 50083 } as const;

/** Names that a container may be given, and in which of them a secret may stand. */
const known = new Map((VARIABLES as readonly Variable[]).flatMap((variable) => [[variable.name, variable], [`${variable.name}_FILE`, variable]] as const));
const isOurs = (name: string): boolean => name.startsWith('AGENTOS_') || known.has(name);

describe.each(Object.entries(VARIANTS))('compose, %s', (mode, files) => {
  const file = readCompose(files, { NODEA_IMAGE: mode === 'prod' ? IMAGE : '' });
  const services = Object.entries(file.services);
  const each = (check: (service: ComposeService, name: string) => void): void => services.forEach(([name, service]) => check(service, name));

  it('has the services of a node, and nothing that is not looked at here', () => {
    expect(services.map(([name]) => name)).toEqual(['nodea-postgres', 'nodea-seed', 'nodea-model-policy', 'nodea-agent-orchestrator', 'nodea-worker', 'nodea-federation', 'nodea-agentos']);
  });

  it('confines every container', () => {
    each((service, name) => {
      expect(service.user, name).toMatch(/^[1-9]\d*:[1-9]\d*$/);
      expect(service, name).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] });
      for (const loosened of ['privileged', 'cap_add', 'devices', 'pid', 'ipc', 'userns_mode']) expect(service, name).not.toHaveProperty(loosened);
      for (const entry of service.tmpfs) expect(entry, name).toMatch(/^\/[\w/]+:rw,noexec,nosuid,nodev,size=\d+m,/);
    });
  });

  it('limits every container: memory, processors, processes, logs, and the time it has to stop', () => {
    each((service, name) => {
      expect(service.mem_limit, name).toMatch(/^\d+[mg]$/);
      expect(service.cpus, name).toBeGreaterThan(0);
      expect(service.pids_limit, name).toBeGreaterThan(0);
      expect(service.logging, name).toMatchObject({ driver: 'json-file', options: { 'max-size': expect.stringMatching(/^\d+m$/), 'max-file': expect.stringMatching(/^\d+$/) } });
      expect(Number.parseInt(service.stop_grace_period, 10), name).toBeGreaterThanOrEqual(30);
    });
  });

  it('names images by digest', () => {
    each((service, name) => {
      if (mode === 'dev' && service.image === 'agentos:local') return;
      expect(service.image, name).toMatch(PINNED);
    });
    expect(file.services['nodea-postgres']!.image).toMatch(PINNED);
  });

  it('gives settings that exist, and values that they take', () => {
    each((service, name) => {
      for (const [variable, value] of Object.entries(service.environment)) {
        if (!isOurs(variable)) continue;
        expect(known.has(variable), `${name}: ${variable}`).toBe(true);
        const { type, allowed, min = -Infinity, max = Infinity } = findVariable(variable) ?? {};
        if (type === 'enum') expect(allowed, `${name}: ${variable}`).toContain(value);
        if (type === 'integer') expect(Number(value) >= min && Number(value) <= max, `${name}: ${variable}=${value}`).toBe(true);
        if (type === 'url') expect(URL.canParse(value), `${name}: ${variable}=${value}`).toBe(true);
      }
    });
    for (const variable of files.flatMap(variablesOf)) if (variable.startsWith('AGENTOS_')) expect(known.has(variable), variable).toBe(true);
  });

  it('gives secrets as files, each to those alone that read it', () => {
    each((service, name) => {
      for (const [variable, value] of Object.entries(service.environment)) {
        expect(/PASSWORD|SECRET|TOKEN|_KEY$|DATABASE_URL$/.test(variable) && !variable.endsWith('_FILE'), `${name}: ${variable} stands in the environment`).toBe(false);
        if (known.get(variable)?.secret === true) expect(variable, name).toMatch(/_FILE$/);
        if (!String(value).startsWith('/run/secrets/')) continue;
        expect(service.secrets, `${name}: ${variable}`).toContain(String(value).slice('/run/secrets/'.length));
      }
      for (const secret of service.secrets) {
        const named = Object.values(service.environment).includes(`/run/secrets/${secret}`);
        // The script that makes the roles reads the owner's password by itself.
        expect(named || (name === 'nodea-postgres' && secret === 'database-password'), `${name} is given ${secret} and does not read it`).toBe(true);
        expect(file.secrets, name).toHaveProperty([secret]);
      }
    });
    expect(file.services['nodea-federation']!.secrets).not.toContain('postgres-password');
  });

  it('keeps the database where only the services are', () => {
    expect(file.networks['nodea-data']).toEqual({ internal: true });
    const postgres = file.services['nodea-postgres']!;
    expect(postgres.networks).toEqual(['nodea-data']);
    expect(postgres.ports).toBeUndefined();
  });

  it('publishes the ports of the architecture, on loopback unless told otherwise, and never the administration', () => {
    const architecture = readFileSync(join(ROOT, 'services/platform/config/variables.ts'), 'utf8');
    each((service, name) => {
      const port = (PORTS as Readonly<Record<string, number>>)[name];
      expect(service.ports ?? [], name).toEqual(port === undefined ? [] : [`127.0.0.1:${port}:${port}`]);
      if (port === undefined) return;
      expect(service.environment['AGENTOS_PORT'], name).toBe(String(port));
      expect(architecture).toContain(`default: ${port}`);
      expect(service.environment, name).not.toHaveProperty('AGENTOS_ADMIN_HOST');
    });
  });

  it('starts in the order in which one needs the other', () => {
    const { 'nodea-seed': seed, 'nodea-model-policy': models, 'nodea-agent-orchestrator': orchestrator, 'nodea-federation': federation } = file.services;
    expect(seed!.depends_on).toEqual({ 'nodea-postgres': { condition: 'service_healthy' } });
    for (const service of [models, orchestrator, federation]) expect(service!.depends_on).toMatchObject({ 'nodea-seed': { condition: 'service_completed_successfully' } });
    expect(orchestrator!.depends_on).toMatchObject({ 'nodea-model-policy': { condition: 'service_healthy' } });
    // Services have the image's own check; what is no service has none.
    each((service, name) => expect(service.healthcheck?.disable === true, name).toBe(['nodea-seed', 'nodea-agentos'].includes(name)));
  });

  it('keeps on volumes what must outlive a container', () => {
    each((service, name) => {
      for (const entry of service.volumes ?? []) {
        const [source, target, access] = entry.split(':') as [string, string, string?];
        if (source.startsWith('.')) {
          expect([access, existsSync(join(COMPOSE_FOLDER, source))], `${name}: ${entry}`).toEqual(['ro', true]);
        } else {
          expect(file.volumes, name).toHaveProperty([source]);
          expect(target, name).toMatch(/^\/var\/lib\//);
        }
      }
    });
    expect(file.services['nodea-model-policy']!.environment['AGENTOS_JOURNAL_DIR']).toBe('/var/lib/agentos/journal');
    expect(file.services['nodea-model-policy']!.volumes).toContain('nodea-journal:/var/lib/agentos/journal');
  });

  const tool = spawnSync('docker-compose', ['version', '--short'], { encoding: 'utf8' });
  it.skipIf(tool.status !== 0)(`is understood by docker-compose${tool.status === 0 ? '' : ' (skipped: not installed; deploy/check.sh installs it)'}, which reads it as this test does`, () => {
    const args = [...files.flatMap((name) => ['-f', join(COMPOSE_FOLDER, name)]), '--profile', 'workers', '--profile', 'tools', 'config'];
    const rendered = parse(execFileSync('docker-compose', args, { encoding: 'utf8', env: { PATH: process.env['PATH'] ?? '', NODEA_IMAGE: mode === 'prod' ? IMAGE : '' } })) as ComposeFile;
    const essence = (composed: ComposeFile): unknown => Object.fromEntries(Object.entries(composed.services).map(([name, service]) => [name, {
      image: service.image, command: service.command ?? [], user: service.user, tmpfs: service.tmpfs, environment: service.environment,
      secrets: service.secrets.map((secret: string | { source: string }) => (typeof secret === 'string' ? secret : secret.source)).sort(),
      volumes: (service.volumes ?? []).filter((entry) => /^nodea-/.test(entry)).map((entry) => entry.replace(/:rw$/, '')).sort(),
    }]));
    expect(essence(rendered)).toEqual(essence(file));
  });
});

describe('compose, prod', () => {
  it('does not start without an image that is named', () => {
    expect(() => readCompose(VARIANTS.prod)).toThrow(/NODEA_IMAGE/);
  });

  it('speaks TLS everywhere', () => {
    const { services } = readCompose(VARIANTS.prod, { NODEA_IMAGE: IMAGE });
    for (const [name, { environment }] of Object.entries(services)) {
      if (name === 'nodea-postgres') continue;
      expect(environment, name).toMatchObject({ AGENTOS_MODE: 'prod', AGENTOS_TLS_CERT_FILE: '/run/secrets/tls-cert', AGENTOS_TLS_KEY_FILE: '/run/secrets/tls-key' });
      for (const [variable, value] of Object.entries(environment)) if (/^AGENTOS_\w+_URL$/.test(variable)) expect(value, `${name}: ${variable}`).toMatch(/^https:/);
    }
  });
});

describe('deploy/init.sh', () => {
  it.skipIf(spawnSync('openssl', ['version']).status !== 0)('makes the secrets that the compose files name, once, for nobody else to read', () => {
    const folder = mkdtempSync(join(tmpdir(), 'agentos-init-'));
    try {
      const secrets = join(folder, 'secrets');
      const make = (): void => void execFileSync(join(ROOT, 'deploy/init.sh'), ['--dir', secrets, '--name', 'agentos.example.com'], { stdio: 'pipe' });
      make();
      const first = new Map(readdirSync(secrets).map((name) => [name, readFileSync(join(secrets, name), 'utf8')]));
      for (const { file } of Object.values(readCompose(VARIANTS.prod, { NODEA_IMAGE: IMAGE }).secrets)) expect([...first.keys()]).toContain(file.replace('./secrets/', ''));
      expect(statSync(secrets).mode & 0o777).toBe(0o700);
      expect(statSync(join(secrets, 'ca.key')).mode & 0o777).toBe(0o600);
      expect(first.get('signing-key')!.length).toBeGreaterThanOrEqual(48);
      expect(first.get('database-url')).toContain(`:${first.get('database-password')!.trim()}@nodea-postgres:5432/agentos`);
      const certificate = execFileSync('openssl', ['x509', '-in', join(secrets, 'tls.crt'), '-noout', '-text'], { encoding: 'utf8' });
      for (const name of ['nodea-model-policy', 'agentos.example.com', '127.0.0.1']) expect(certificate).toContain(name);
      execFileSync('openssl', ['verify', '-CAfile', join(secrets, 'ca.crt'), join(secrets, 'tls.crt')], { stdio: 'pipe' });
      make();
      for (const [name, text] of first) expect(readFileSync(join(secrets, name), 'utf8'), name).toBe(text);
      const later = spawnSync(join(ROOT, 'deploy/init.sh'), ['--dir', secrets, '--name', 'other.example.com'], { encoding: 'utf8' });
      expect([later.status, later.stderr]).toEqual([0, expect.stringMatching(/^tls\.crt was there already and does not name other\.example\.com: remove it .+\n$/)]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('writes where git and the builder do not look', () => {
    expect(readFileSync(join(COMPOSE_FOLDER, '.gitignore'), 'utf8')).toContain('/secrets/');
    expect(parseDockerfile(readFileSync(join(ROOT, 'deploy/images/Dockerfile'), 'utf8')).length).toBe(3);
  });
});
