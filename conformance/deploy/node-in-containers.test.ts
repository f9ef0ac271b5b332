/**
 * A node as its containers run it: the image of the Dockerfile, the services of the compose files, on a real Postgres
 * with the roles of deploy/seed/roles.sql. What an engine would do is done by containers.ts; nothing here knows of a
 * setting that the compose files do not make.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, fetch as undiciFetch } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { ROOT } from '../architecture/sources.ts';
import { databaseName, dropDatabase, onServer } from '../harness/database-server.ts';
import { verifies } from '../http/verifies.ts';
import { readCompose, type ComposeFile } from './compose-file.ts';
import { Engine, obstacle, type Container } from './containers.ts';
import { buildImage, type BuiltImage } from './image.ts';

const OBSTACLE = obstacle();
const IMAGE = `registry.example.com/agentos@sha256:${'0'.repeat(64)}`;
const SERVICES: Readonly<Record<string, number>> = { 'model-policy': 50082, 'agent-orchestrator': 50081, federation: 50083 };
const FEDERATED = ['compose.federation.yaml', 'compose.two-nodes.yaml'];
/** A stop takes 25 seconds at the most. */
const STOP_LIMIT_MS = 25_000;

interface Question {
  readonly key?: string;
  readonly body?: unknown;
  readonly idempotencyKey?: string;
  readonly port?: number;
}

interface Node {
  readonly file: ComposeFile;
  readonly engine: Engine;
  /** By the name in the compose file. */
  readonly running: Readonly<Record<string, Container>>;
  /** Asks a service from beyond the node, over its published network. */
  ask(service: string, path: string, options?: Question): Promise<{ readonly status: number; readonly body: Json }>;
  /** `docker compose run --rm nodea-agentos …` */
  agentos(...words: readonly string[]): Promise<{ readonly code: number | null; readonly output: string }>;
}
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Json = any;

let folder: string;
let image: BuiltImage;
const leftovers: (() => Promise<unknown>)[] = [];

beforeAll(() => {
  if (OBSTACLE !== null) return;
  folder = mkdtempSync(join(tmpdir(), 'agentos-containers-'));
  mkdirSync(join(folder, 'build'));
  image = buildImage(join(folder, 'build'));
}, 240_000);

afterEach(async () => {
  for (const step of leftovers.splice(0).reverse()) await step();
}, 120_000);

afterAll(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}, 240_000);

/** A database of its own with the roles that operators make, and where the containers find it. */
async function makeDatabase(place: string): Promise<{ readonly url: (host: string) => string; relay(host: string): Promise<() => Promise<void>>; drop(): Promise<void> }> {
  const server = inject('postgresUrl');
  const database = databaseName(inject('testRunId'), process.pid.toString(36), place);
  const owner = `${database}_owner`.slice(-60);
  execFileSync('psql', ['--no-psqlrc', '-q', '-v', 'ON_ERROR_STOP=1', '-v', `owner=${owner}`, '-v', `database=${database}`, '-v', 'password=a-password', '-f', join(ROOT, 'deploy/seed/roles.sql'), server], { stdio: 'pipe' });
  const { hostname, port } = new URL(server);
  return {
    url: (host) => `postgres://${owner}:a-password@${host}:5432/${database}`,
    async relay(host) {
      const sockets = new Set<Socket>();
      const relay = createServer((from) => {
        const to = connect(Number(port || 5432), hostname);
        for (const [one, other] of [[from, to], [to, from]] as const) {
          sockets.add(one);
          one.on('error', () => other.destroy()).on('close', () => sockets.delete(one) && other.destroy()).pipe(other);
        }
      });
      await new Promise<void>((resolve, reject) => relay.once('error', reject).listen(5432, host, resolve));
      return async () => {
        for (const socket of sockets) socket.destroy();
        await new Promise((resolve) => relay.close(resolve));
      };
    },
    async drop() {
      await dropDatabase(server, database);
      await onServer(server, (client) => client.query(`DROP ROLE "${owner}"`));
    },
  };
}

async function untilHealthy(container: Container, limitMs = 60_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  for (let last = ''; ;) {
    if (!container.running) throw new Error(`${container.name} ended while starting:\n${container.output().slice(-4_000)}`);
    if (performance.now() > deadline) throw new Error(`${container.name} is not healthy: ${last}\n${container.output().slice(-4_000)}`);
    const { code, output } = await container.exec(image.healthcheck);
    if (code === 0) return;
    last = output;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** In the order of `depends_on`. */
async function bringUp(mode: 'dev' | 'prod', nodes: readonly string[] = ['nodea']): Promise<Node> {
  const place = join(folder, `${mode}-${nodes.length}`);
  mkdirSync(place);
  const secrets = join(place, 'secrets');
  execFileSync(join(ROOT, nodes.length > 1 ? 'deploy/two-nodes.sh' : 'deploy/init.sh'), ['--dir', secrets], { stdio: 'pipe' });
  const file = readCompose(['compose.yaml', `compose.${mode}.yaml`, ...(nodes.length > 1 ? FEDERATED : [])], { NODEA_IMAGE: IMAGE });
  const databases = await Promise.all(nodes.map((node) => makeDatabase(`${mode}${nodes.length}${node.at(-1)}`)));
  leftovers.push(() => Promise.all(databases.map((database) => database.drop())));
  nodes.forEach((node, index) => writeFileSync(join(secrets, node === 'nodea' ? '' : node, 'database-url'), databases[index]!.url(`${node}-postgres`)));
  const engine = new Engine({ image, folder: place, file, secrets, outside: nodes.map((node) => `${node}-postgres`) });
  leftovers.push(() => engine.close());
  for (const [index, node] of nodes.entries()) leftovers.push(await databases[index]!.relay(engine.host(`${node}-data`)));
  const running: Record<string, Container> = {};
  for (const node of nodes) {
    const seed = await engine.start(`${node}-seed`);
    expect(await seed.ended(), seed.output()).toBe(0);
    for (const name of Object.keys(SERVICES).map((service) => `${node}-${service}`)) {
      running[name] = await engine.start(name);
      await untilHealthy(running[name]);
    }
  }
  const ca = readFileSync(join(secrets, 'ca.crt'));
  const agents = Object.fromEntries(Object.keys(running).map((name) => [name, new Agent({ connect: { ca, servername: name } })]));
  leftovers.push(() => Promise.all(Object.values(agents).map((agent) => agent.destroy())));
  return {
    file, engine, running,
    async ask(service, path, { key, body, idempotencyKey, port = SERVICES[service.slice('nodea-'.length)] } = {}) {
      const url = `${mode === 'prod' ? 'https' : 'http'}://${running[service]!.address(`${service.split('-')[0]}-edge`)}:${port}${path}`;
      const answer = await undiciFetch(url, {
        dispatcher: agents[service]!, signal: AbortSignal.timeout(20_000), method: body === undefined ? 'GET' : 'POST',
        headers: { ...(key === undefined ? {} : { authorization: `Bearer ${key}` }), ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      return { status: answer.status, body: answer.headers.get('content-type')?.startsWith('application/json') ? JSON.parse(text) : text };
    },
    async agentos(...words) {
      const container = await engine.start('nodea-agentos', words);
      return { code: await container.ended(), output: container.output() };
    },
  };
}

/** Creates a run and waits for its end. */
async function runAgent(node: Node, key: string, agentId: string, input: string): Promise<Json> {
  const made = await node.ask('nodea-agent-orchestrator', `/v1/agents/${agentId}/runs`, { key, body: { input, idempotency_key: `idem_${agentId}_${input.length}` } });
  expect(made.status, `${JSON.stringify(made.body)}\n${node.running['nodea-agent-orchestrator']!.output().slice(-3_000)}`).toBe(201);
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const { body } = await node.ask('nodea-agent-orchestrator', `/v1/runs/${made.body.run.run_id}`, { key });
    if (['completed', 'failed', 'canceled'].includes(body.run?.status)) return body.run;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error('The run did not end.');
}

/** What the kernel says of a process: who it is, what it may do, and what it could write to. */
function kernelView(container: Container): { readonly uids: readonly string[]; readonly capabilities: readonly string[]; readonly noNewPrivileges: string; readonly writable: readonly string[]; readonly peakBytes: number; readonly threads: number; readonly parent: string } {
  const status = readFileSync(`/proc/${container.pid}/status`, 'utf8');
  const field = (name: string): string => new RegExp(`^${name}:\\s+(.+)$`, 'm').exec(status)![1]!;
  const mounts = readFileSync(`/proc/${container.pid}/mountinfo`, 'utf8').trim().split('\n').map((line) => line.split(' '));
  return {
    uids: [...field('Uid').split('\t'), ...field('Gid').split('\t')],
    capabilities: ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map(field),
    noNewPrivileges: field('NoNewPrivs'),
    writable: mounts.filter((parts) => parts[5]!.split(',').includes('rw') && !/^\/(proc|dev)(\/|$)/.test(parts[4]!)).map((parts) => parts[4]!).sort(),
    peakBytes: Number(field('VmHWM').split(' ')[0]) * 1024,
    threads: Number(field('Threads')),
    parent: field('NSpid').split('\t').at(-1)!,
  };
}

const filesBelow = (path: string): string[] => readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1)).sort();
const bytesOf = (limit: string): number => Number.parseInt(limit, 10) * { m: 2 ** 20, g: 2 ** 30 }[limit.at(-1) as 'm' | 'g'];

/** What holds in either mode once the node has done some work. */
function expectConfined(node: Node): void {
  for (const [name, container] of Object.entries(node.running)) {
    const service = node.file.services[name]!;
    const seen = kernelView(container);
    expect(new Set(seen.uids), name).toEqual(new Set(['10001']));
    expect(new Set(seen.capabilities), name).toEqual(new Set(['0000000000000000']));
    expect([seen.noNewPrivileges, seen.parent], `${name}: no new privileges, first process`).toEqual(['1', '1']);
    expect(seen.writable, name).toEqual([...service.tmpfs.map((entry) => entry.split(':')[0]!), ...(service.volumes ?? []).map((entry) => entry.split(':')[1]!)].sort());
    expect(seen.peakBytes, name).toBeLessThan(bytesOf(service.mem_limit));
    expect(seen.threads, name).toBeLessThan(service.pids_limit);
    expect(container.output(), name).not.toMatch(/EROFS|EACCES|EPERM|read-only file system|permission denied|"level":"(error|fatal)"|is not known and is ignored/i);
    // Nothing is left behind where everybody may write.
    expect(readdirSync(`/proc/${container.pid}/root/tmp`), name).toEqual([]);
  }
}

/** What a program in a container gets when it tries. */
async function attempts(container: Container, tries: Readonly<Record<string, string>>): Promise<Readonly<Record<string, string>>> {
  const program = `const fs = require('node:fs'); const said = {}; for (const [name, code] of Object.entries(${JSON.stringify(tries)})) { try { eval(code); said[name] = 'done'; } catch (error) { said[name] = error.code; } } process.stdout.write(JSON.stringify(said));`;
  const { output } = await container.exec(['/nodejs/bin/node', '-e', program]);
  return JSON.parse(output) as Record<string, string>;
}

async function expectStops(node: Node): Promise<void> {
  const stopped = await Promise.all(Object.values(node.running).map(async (container) => ({ name: container.name, ...(await container.stop()), output: container.output().slice(-2_000) })));
  for (const { name, code, ms, output } of stopped) {
    expect(code, `${name}: ${output}`).toBe(0);
    expect(ms, name).toBeLessThan(STOP_LIMIT_MS);
  }
}

describe.skipIf(OBSTACLE !== null)(`a node in containers${OBSTACLE === null ? '' : ` (skipped: ${OBSTACLE})`}`, () => {
  it('in prod: with TLS, a first key, and nothing to write to but its volumes, it serves a run and stops in time', verifies(['PRS-8.1-08', 'PRS-8.5-01'], async () => {
    const node = await bringUp('prod');
    const operator = join(node.engine.volume('nodea-operator'), 'secrets/platform-admin.api-key');
    expect([statSync(operator).mode & 0o777, statSync(operator).uid]).toEqual([0o600, 10001]);
    // The administration listens on loopback inside: an operator's container reaches it, the network does not.
    await expect(node.ask('nodea-agent-orchestrator', '/v1/admin/tenants', { key: readFileSync(operator, 'utf8').trim(), port: 50091 })).rejects.toThrow();
    expect((await node.ask('nodea-agent-orchestrator', '/v1/admin/tenants', { key: readFileSync(operator, 'utf8').trim() })).status).toBe(404);
    const tenant = await node.agentos('tenants', 'create', 'tnt_acme', '--name', 'Acme');
    expect(tenant.code, tenant.output).toBe(0);
    expect((await node.agentos('principals', 'put', 'svc_orders', '--tenant', 'tnt_acme', '--role', 'tenant_admin')).code).toBe(0);
    const made = await node.agentos('keys', 'create', '--tenant', 'tnt_acme', '--principal', 'svc_orders', '--json');
    expect(made.code, made.output).toBe(0);
    const key = /"secret":\s*"([^"]+)"/.exec(made.output)![1]!;
    const agent = await node.ask('nodea-agent-orchestrator', '/v1/agents', { key, body: { agent_id: 'agt_counter', name: 'Counter', version: '1', instructions: 'Call the tool text_stats (tool.text.stats) once with the text of the user. Then answer with what it says.', tools: ['tool.text.stats'] }, idempotencyKey: 'idem_agent' });
    expect(agent.status, JSON.stringify(agent.body)).toBe(201);
    const run = await runAgent(node, key, 'agt_counter', 'One two three.');
    expect(run.status, JSON.stringify(run)).toBe('completed');
    expect((await node.ask('nodea-model-policy', '/v1/models', { key })).status).toBe(200);
    expect((await node.ask('nodea-federation', '/v1/federation/health', {})).status).toBe(200);
    expect(await attempts(node.running['nodea-model-policy']!, {
      'code': "fs.writeFileSync('/app/dist/x', '')", 'root': "fs.mkdirSync('/x')", 'etc': "fs.appendFileSync('/etc/hosts', 'x')", 'state beside volumes': "fs.writeFileSync('/var/lib/agentos/x', '')",
      'a secret': "fs.writeFileSync('/run/secrets/signing-key', 'x')", 'another user': 'process.setuid(0)', 'a shell': "fs.accessSync('/bin/sh')", 'a device': "fs.writeFileSync('/dev/x', '')", 'its volume': "fs.writeFileSync('/var/lib/agentos/journal/x', ''); fs.rmSync('/var/lib/agentos/journal/x')",
    })).toEqual({
      ...Object.fromEntries(['code', 'root', 'etc', 'state beside volumes', 'a secret', 'a device'].map((place) => [place, expect.stringMatching(/^(EROFS|EACCES)$/)])),
      'another user': 'EPERM', 'a shell': 'ENOENT', 'its volume': 'done',
    });
    const verified = await node.agentos('audit', 'verify');
    expect(verified.code, verified.output).toBe(0);
    expectConfined(node);
    await expectStops(node);
    expect(filesBelow(node.engine.volume('nodea-audit'))).toEqual(['audit-key.pub.pem', 'checkpoints.jsonl']);
    expect(filesBelow(node.engine.volume('nodea-journal')), 'a stopped service has shipped its journal').toEqual([]);
  }), 240_000);

  it('in dev: seeded, with keys, it runs the sample agents, and a worker of its own joins', verifies(['PRS-8.5-04'], async () => {
    const node = await bringUp('dev');
    const secrets = join(node.engine.volume('nodea-operator'), 'secrets');
    expect(filesBelow(secrets)).toEqual(['platform-admin.api-key', 'tnt_demo-admin.api-key']);
    const key = readFileSync(join(secrets, 'tnt_demo-admin.api-key'), 'utf8').trim();
    expect((await node.ask('nodea-agent-orchestrator', '/v1/runs')).status).toBe(401);
    expect((await runAgent(node, key, 'agt_sample_echo_v1', 'Hello.')).status).toBe('completed');
    const worker = await node.engine.start('nodea-worker');
    await untilHealthy(worker);
    expect((await worker.stop()).code, worker.output()).toBe(0);
    const again = await node.engine.start('nodea-seed', ['seed', '--show-keys']);
    expect([await again.ended(), filesBelow(secrets), readFileSync(join(secrets, 'tnt_demo-admin.api-key'), 'utf8').trim()]).toEqual([0, ['platform-admin.api-key', 'tnt_demo-admin.api-key'], key]);
    expect(JSON.parse(again.output().trim().split('\n').at(-1)!)).toMatchObject({ seeded: { default_tenant_id: 'tnt_demo' }, keys: { tenant: key } });
    expectConfined(node);
    await expectStops(node);
  }), 240_000);

  it('two of them meet over mutual TLS, and a run that one forwards is done by the other', verifies(['PRS-7.4-01', 'PRS-8.5-04'], async () => {
    const node = await bringUp('dev', ['nodea', 'nodeb']);
    const key = readFileSync(join(node.engine.volume('nodea-operator'), 'secrets/tnt_demo-admin.api-key'), 'utf8').trim();
    const theirs = readFileSync(join(node.engine.volume('nodeb-operator'), 'secrets/tnt_demo-admin.api-key'), 'utf8').trim();
    const peer = await node.ask('nodea-federation', '/v1/federation/peer', { key });
    expect(peer.body.peer.endpoints.federation_base_url).toBe('https://nodea-federation:50084');
    const forward = { target_selector: { stack_id: 'stk_local_node_b' }, auth: { tenant_id: 'tnt_demo' }, run_request: { agent_id: 'agt_sample_echo_v1', input: 'From the other node.', idempotency_key: 'idem_forward' } };
    const made = await node.ask('nodea-federation', '/v1/federation/runs:forward', { key, body: { forward } });
    expect(made.status, `${JSON.stringify(made.body)}\n${node.running['nodea-federation']!.output().slice(-3_000)}\n${node.running['nodeb-federation']!.output().slice(-3_000)}`).toBe(200);
    const { remote_run_id: runId, remote_events_url: eventsUrl } = made.body.forwarded;
    expect(eventsUrl).toBe(`http://nodeb-agent-orchestrator:50081/v1/runs/${runId}/events`);
    await expect.poll(async () => (await node.ask('nodea-federation', `/v1/federation/runs/${runId}`, { key })).body.run?.status, { timeout: 20_000 }).toBe('completed');
    expect((await node.ask('nodeb-agent-orchestrator', `/v1/runs/${runId}`, { key: theirs })).status).toBe(200);
    expect([(await node.ask('nodea-agent-orchestrator', `/v1/runs/${runId}`, { key })).status, (await node.ask('nodea-agent-orchestrator', '/v1/runs', { key: theirs })).status], 'each has its own runs and keys').toEqual([404, 401]);
    // Beyond their network nobody is there for peers without a certificate, and node A's database is not node B's neighbour.
    await expect(undiciFetch(`https://${node.running['nodeb-federation']!.address('nodeb-edge')}:50084/v1/federation/health`, { dispatcher: new Agent({ connect: { rejectUnauthorized: false } }) })).rejects.toThrow();
    expectConfined(node);
    await expectStops(node);
  }), 240_000);
});
