/** What the compose files promise, read from the files: every container of every variant, and nothing by hand. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { certificateFacts, certificatesIn, isIssuedBy } from '../../scripts/lib/federation/certificate-facts.ts';
import { parsePeersFile } from '../../services/federation/peers/peers-file.ts';
import { openPeerTrust } from '../../services/federation/trust/open-trust.ts';
import { loadConfig } from '../../services/platform/config/load.ts';
import { findVariable, VARIABLES, type Variable } from '../../services/platform/config/variables.ts';
import { ROOT } from '../architecture/sources.ts';
import { COMPOSE_FOLDER, readCompose, variablesOf, type ComposeFile, type ComposeService } from './compose-file.ts';
import { parseDockerfile } from './dockerfile.ts';

const IMAGE = `registry.example.com/agentos@sha256:${'0'.repeat(64)}`;
interface Variant {
  readonly mode: 'dev' | 'prod';
  readonly files: readonly string[];
  /** The last one's ports lie a hundred above those of the one before. */
  readonly nodes: readonly string[];
  /** It meets other nodes. */
  readonly meets: boolean;
}
const [DEV, PROD] = [['compose.yaml', 'compose.dev.yaml'], ['compose.yaml', 'compose.prod.yaml']] as const;
const VARIANTS: Readonly<Record<string, Variant>> = {
  dev: { mode: 'dev', files: DEV, nodes: ['nodea'], meets: false },
  prod: { mode: 'prod', files: PROD, nodes: ['nodea'], meets: false },
  'dev, federated': { mode: 'dev', files: [...DEV, 'compose.federation.yaml'], nodes: ['nodea'], meets: true },
  'prod, federated': { mode: 'prod', files: [...PROD, 'compose.federation.yaml'], nodes: ['nodea'], meets: true },
  'two nodes': { mode: 'dev', files: [...DEV, 'compose.federation.yaml', 'compose.two-nodes.yaml'], nodes: ['nodea', 'nodeb'], meets: true },
};
const PINNED = /@sha256:[0-9a-f]{64}$/;
const PORTS: Readonly<Record<string, number>> = { 'agent-orchestrator': 50081, 'model-policy': 50082, federation: 50083 };
const PEERS_PORT = 50084;

/** Names that a container may be given, and in which of them a secret may stand. */
const known = new Map((VARIABLES as readonly Variable[]).flatMap((variable) => [[variable.name, variable], [`${variable.name}_FILE`, variable]] as const));
const isOurs = (name: string): boolean => name.startsWith('AGENTOS_') || known.has(name);

describe.each(Object.entries(VARIANTS))('compose, %s', (_, { mode, files, nodes, meets }) => {
  const file = readCompose(files, { NODEA_IMAGE: mode === 'prod' ? IMAGE : '' });
  const services = Object.entries(file.services);
  const each = (check: (service: ComposeService, name: string) => void): void => services.forEach(([name, service]) => check(service, name));

  it('has the services of a node, and nothing that is not looked at here', () => {
    const names = ['postgres', 'seed', 'model-policy', 'agent-orchestrator', 'worker', 'federation', 'agentos'];
    expect(services.map(([name]) => name)).toEqual(nodes.flatMap((node) => names.filter((name) => node === 'nodea' || name !== 'worker').map((name) => `${node}-${name}`)));
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
    for (const node of nodes) expect(file.services[`${node}-postgres`]!.image).toMatch(PINNED);
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
    // What a node presents to others is for the one that speaks with them.
    each((service, name) => expect(service.secrets.some((secret) => secret.includes('federation-')), name).toBe(meets && name.endsWith('-federation')));
  });

  it('shares nothing between nodes but a network of their Federation services', () => {
    each((service, name) => {
      const own = name.split('-')[0]!;
      expect(service.networks?.filter((network) => !network.startsWith(`${own}-`)) ?? [], name).toEqual(nodes.length > 1 && name.endsWith('-federation') ? ['between-nodes'] : []);
      for (const entry of service.volumes ?? []) if (/^node[a-z]-/.test(entry)) expect(entry, name).toMatch(new RegExp(`^${own}-`));
      for (const secret of service.secrets) expect(file.secrets[secret]!.file.startsWith('./secrets/nodeb/'), `${name}: ${secret}`).toBe(own === 'nodeb');
      for (const other of Object.keys(service.depends_on ?? {})) expect(other, name).toMatch(new RegExp(`^${own}-`));
      for (const value of Object.values(service.environment)) expect(String(value), name).not.toMatch(own === 'nodea' ? /nodeb-/ : /nodea-/);
    });
    if (nodes.length > 1) expect(file.networks['between-nodes']).toEqual({ internal: true });
    expect(new Set(nodes.map((node) => file.services[`${node}-federation`]!.environment['AGENTOS_STACK_ID'])).size).toBe(nodes.length);
  });

  it.runIf(meets)('hears peers over mutual TLS alone', () => {
    for (const node of nodes) {
      const { environment } = file.services[`${node}-federation`]!;
      expect(environment).toMatchObject({ AGENTOS_FED_REQUIRE_MTLS: 'true', AGENTOS_FED_PEER_HOST: '0.0.0.0', AGENTOS_FED_PEER_PORT: String(findVariable('AGENTOS_FED_PEER_PORT')!.default) });
      for (const variable of ['AGENTOS_FED_SERVER_CERT_FILE', 'AGENTOS_FED_SERVER_KEY_FILE', 'AGENTOS_FED_CA_CERT_FILE', 'AGENTOS_PEERS_FILE']) expect(environment[variable], variable).toMatch(/^\/run\/secrets\//);
    }
  });

  it('keeps the database where only the services are', () => {
    for (const node of nodes) {
      expect(file.networks[`${node}-data`]).toEqual({ internal: true });
      const postgres = file.services[`${node}-postgres`]!;
      expect(postgres.networks).toEqual([`${node}-data`]);
      expect(postgres.ports).toBeUndefined();
    }
  });

  it('publishes the ports of the architecture, on loopback unless told otherwise, and never the administration', () => {
    const architecture = readFileSync(join(ROOT, 'services/platform/config/variables.ts'), 'utf8');
    each((service, name) => {
      const [, node, what] = /^(node[a-z])-(.+)$/.exec(name)!;
      const port = PORTS[what!];
      const above = nodes.indexOf(node!) * 100;
      const peers = meets && what === 'federation' ? [`127.0.0.1:${PEERS_PORT + above}:${PEERS_PORT}`] : [];
      expect(service.ports ?? [], name).toEqual(port === undefined ? [] : [`127.0.0.1:${port + above}:${port}`, ...peers]);
      if (port === undefined) return;
      expect(service.environment['AGENTOS_PORT'], name).toBe(String(port));
      expect(architecture).toContain(`default: ${port}`);
      expect(service.environment, name).not.toHaveProperty('AGENTOS_ADMIN_HOST');
    });
  });

  it('starts in the order in which one needs the other', () => {
    for (const node of nodes) {
      const [seed, models, orchestrator, federation] = ['seed', 'model-policy', 'agent-orchestrator', 'federation'].map((name) => file.services[`${node}-${name}`]!);
      expect(seed!.depends_on).toEqual({ [`${node}-postgres`]: { condition: 'service_healthy' } });
      for (const service of [models, orchestrator, federation]) expect(service!.depends_on).toMatchObject({ [`${node}-seed`]: { condition: 'service_completed_successfully' } });
      expect(orchestrator!.depends_on).toMatchObject({ [`${node}-model-policy`]: { condition: 'service_healthy' } });
    }
    // Services have the image's own check; what is no service has none.
    each((service, name) => expect(service.healthcheck?.disable === true, name).toBe(/-(seed|agentos)$/.test(name)));
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
    for (const node of nodes) {
      expect(file.services[`${node}-model-policy`]!.environment['AGENTOS_JOURNAL_DIR']).toBe('/var/lib/agentos/journal');
      expect(file.services[`${node}-model-policy`]!.volumes).toContain(`${node}-journal:/var/lib/agentos/journal`);
    }
  });

  const tool = spawnSync('docker-compose', ['version', '--short'], { encoding: 'utf8' });
  it.skipIf(tool.status !== 0)(`is understood by docker-compose${tool.status === 0 ? '' : ' (skipped: not installed; deploy/check.sh installs it)'}, which reads it as this test does`, () => {
    const args = [...files.flatMap((name) => ['-f', join(COMPOSE_FOLDER, name)]), '--profile', 'workers', '--profile', 'tools', 'config'];
    const rendered = parse(execFileSync('docker-compose', args, { encoding: 'utf8', env: { PATH: process.env['PATH'] ?? '', NODEA_IMAGE: mode === 'prod' ? IMAGE : '' } })) as ComposeFile;
    const essence = (composed: ComposeFile): unknown => Object.fromEntries(Object.entries(composed.services).map(([name, service]) => [name, {
      image: service.image, command: service.command ?? [], user: service.user, tmpfs: service.tmpfs, environment: service.environment,
      secrets: service.secrets.map((secret: string | { source: string }) => (typeof secret === 'string' ? secret : secret.source)).sort(),
      networks: (Array.isArray(service.networks) ? [...service.networks] : Object.keys(service.networks ?? {})).sort(),
      ports: (service.ports ?? []).map((port: unknown) => (typeof port === 'string' ? port.replace(/\/tcp$/, '') : port)),
      volumes: (service.volumes ?? []).filter((entry) => /^node[a-z]-/.test(entry)).map((entry) => entry.replace(/:rw$/, '')).sort(),
    }]));
    expect(essence(rendered)).toEqual(essence(file));
  });
});

describe('compose, prod', () => {
  it('does not start without an image that is named', () => {
    expect(() => readCompose(PROD)).toThrow(/NODEA_IMAGE/);
  });

  it('speaks TLS everywhere', () => {
    const { services } = readCompose(PROD, { NODEA_IMAGE: IMAGE });
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
      for (const { file } of Object.values(readCompose(PROD, { NODEA_IMAGE: IMAGE }).secrets)) expect([...first.keys()]).toContain(file.replace('./secrets/', ''));
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

  it.skipIf(spawnSync('openssl', ['version']).status !== 0)('with federate.sh makes two nodes that can meet, and what comes to them from elsewhere is taken up', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'agentos-two-nodes-'));
    const federate = (...args: readonly string[]) => spawnSync(join(ROOT, 'deploy/federate.sh'), args, { encoding: 'utf8' });
    try {
      const make = (): void => void execFileSync(join(ROOT, 'deploy/two-nodes.sh'), ['--dir', folder], { stdio: 'pipe' });
      make();
      const { secrets } = readCompose(VARIANTS['two nodes']!.files);
      for (const { file } of Object.values(secrets)) expect(statSync(join(folder, file.replace('./secrets/', ''))).mode & 0o777, file).toBe(0o644);
      const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
      for (const [own, other, place, theirs] of [['a', 'b', 'federation', 'nodeb/federation'], ['b', 'a', 'nodeb/federation', 'federation']] as const) {
        expect([statSync(join(folder, place)).mode & 0o777, statSync(join(folder, place, 'authority.key')).mode & 0o777]).toEqual([0o700, 0o600]);
        const { local, peers, trust } = parsePeersFile(read(`${place}/peers.json`));
        expect(local).toMatchObject({ stack_id: `stk_local_node_${own}`, endpoints: { federation_base_url: `https://node${own}-federation:50084` } });
        expect(peers).toMatchObject([{ stack_id: `stk_local_node_${other}`, endpoints: { federation_base_url: `https://node${other}-federation:50084`, 'agent-orchestrator_base_url': `http://node${other}-agent-orchestrator:50081` } }]);
        expect(trust.get(`stk_local_node_${other}`)).toEqual({ tenants: new Set(['tnt_demo']), scopes: null, authority: certificateFacts(read(`${theirs}/authority.crt`)).fingerprint });
        const facts = certificateFacts(read(`${place}/node.crt`));
        expect([facts.stackId, facts.names]).toEqual([`stk_local_node_${own}`, [`node${own}-federation`]]);
        expect([isIssuedBy(read(`${place}/node.crt`), read(`${place}/authority.crt`)), certificatesIn(read(`${place}/trusted.pem`)).length]).toEqual([true, 2]);
        const file = (name: string): string => join(folder, place, name);
        const env = { AGENTOS_STACK_ID: `stk_local_node_${own}`, AGENTOS_FED_SERVER_CERT: file('node.crt'), AGENTOS_FED_SERVER_KEY: file('node.key'), AGENTOS_FED_CA_CERT: file('trusted.pem') };
        const made = openPeerTrust(loadConfig({ env, envFile: null }), { ownStackId: env.AGENTOS_STACK_ID, authorityOf: () => null }, pino({ level: 'silent' }));
        expect(made?.authorities()).toHaveLength(2);
        await made?.close();
      }
      const before = ['federation/node.crt', 'federation/peers.json', 'nodeb/federation/trusted.pem'].map(read);
      make();
      expect(['federation/node.crt', 'federation/peers.json', 'nodeb/federation/trusted.pem'].map(read), 'once').toEqual(before);
      // A peer of another machine: its authority and what it says of itself, from its card.
      writeFileSync(join(folder, 'federation/authority-acme.crt'), read('nodeb/federation/authority.crt'));
      writeFileSync(join(folder, 'federation/peer-acme.json'), JSON.stringify({ stack_id: 'stk_acme', endpoints: { 'agent-orchestrator_base_url': 'https://a.example', 'model-policy_base_url': 'https://a.example', federation_base_url: 'https://a.example:50084' }, trust: { tenants: ['*'] } }));
      expect(federate('--dir', folder).status).toBe(0);
      expect(parsePeersFile(read('federation/peers.json')).peers.map((peer) => peer.stack_id)).toEqual(['stk_acme', 'stk_local_node_b']);
      // Another address is another certificate, in the same file: what has it mounted sees it.
      const { ino } = statSync(join(folder, 'federation/node.crt'));
      expect(federate('--dir', folder, '--stack', 'stk_local_node_a', '--url', 'https://192.0.2.7:50084').status).toBe(0);
      expect([certificateFacts(read('federation/node.crt')).names, statSync(join(folder, 'federation/node.crt')).ino]).toEqual([['192.0.2.7'], ino]);
      for (const wrong of [['--stack', 'stk_x"'], ['--url', 'http://x.example', '--stack', 'stk_x'], ['--stack', 'stk_x', '--url', 'https://x" .example'], ['--meet', join(folder, 'nowhere'), '--tenants', '*'], ['--what', 'x']]) expect(federate('--dir', folder, ...wrong).status, wrong.join(' ')).toBe(2);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 180_000);

  it('writes where git and the builder do not look', () => {
    expect(readFileSync(join(COMPOSE_FOLDER, '.gitignore'), 'utf8')).toContain('/secrets/');
    expect(parseDockerfile(readFileSync(join(ROOT, 'deploy/images/Dockerfile'), 'utf8')).length).toBe(3);
  });
});
