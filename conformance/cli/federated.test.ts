/** `agentos up --profile federated`: two nodes by one command, as an operator meets them. One story, in order. */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CliFederation, CliKeys, CliStatus, CliTenants, CliToken, Report, Run } from '../../generated/types/index.ts';
import { validators } from '../../generated/validators/schemas.js';
import { isPortFree } from '../../scripts/lib/ports.ts';
import { isProcess, runCommand } from '../../scripts/lib/process.ts';
import { repositoryRoot } from '../../scripts/lib/repository.ts';
import { verifies } from '../http/verifies.ts';
import { createCliNode, ensureBuilt, type CliNode } from './node-under-test.ts';

const NAMES = ['postgres', 'model-policy', 'agent-orchestrator', 'federation'].flatMap((name) => [name, `node-b/${name}`]);
/** The second node listens a hundred above the first. */
const OFFSET = 100;

let node: CliNode;
let base: number;
/** Everything that any command printed: no secret may be in it. */
let printed = '';

beforeAll(async () => {
  await ensureBuilt();
  base = await freeBase();
  node = await createCliNode({
    env: { AGENTOS_AGENT_ORCHESTRATOR_PORT: String(base), AGENTOS_MODEL_POLICY_PORT: String(base + 1), AGENTOS_FEDERATION_PORT: String(base + 2), AGENTOS_FED_PEER_PORT: String(base + 3) },
  });
}, 180_000);
afterAll(async () => node?.remove(), 180_000);

/** Ports that are free for both nodes. */
async function freeBase(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const from = 20_000 + Math.floor(Math.random() * 20_000);
    const wanted = [0, 1, 2, 3].flatMap((index) => [from + index, from + OFFSET + index]);
    if ((await Promise.all(wanted.map((port) => isPortFree(port)))).every(Boolean)) return from;
  }
  throw new Error('no eight free ports');
}

async function agentos(...args: readonly string[]): ReturnType<CliNode['agentos']> {
  const result = await node.agentos(...args);
  printed += result.stdout + result.stderr;
  return result;
}

const pidsOf = async (): Promise<Record<string, number | null>> =>
  Object.fromEntries((JSON.parse((await agentos('status', '--json')).stdout) as CliStatus).services.map((service) => [service.name, service.pid]));

describe.sequential('two nodes on one machine', () => {
  it('come up by one command, forward a run, and say where they are', verifies(['PRS-8.1-09', 'PRS-13-07', 'RM-05'], async () => {
    const up = await agentos('up', '--profile', 'federated');
    expect(up.code, up.stderr).toBe(0);
    for (const fact of [`http://127.0.0.1:${base}`, `node-b/Federation, for peers`, `https://127.0.0.1:${base + OFFSET + 3}`, 'docs/guides/federation.md']) expect(up.stdout).toContain(fact);
    const report = JSON.parse(readFileSync(path.join(node.reports, readdirSync(node.reports).find((file) => /^up-.*\.json$/.test(file))!), 'utf8')) as Report;
    expect(validators.Report(report), JSON.stringify(validators.Report.errors)).toBe(true);
    expect(report).toMatchObject({ outcome: 'ok', profile: 'federated' });
    expect(report.phases.map((phase) => phase.name)).toEqual(expect.arrayContaining(['preflight', 'federation', 'boot', 'seed', 'wire', 'validate']));
    expect(report.checks.map((check) => check.name)).toEqual(expect.arrayContaining(['node-a and node-b know each other by their certificates', 'a run forwarded to node-b completes there', 'both nodes recorded whose peer it was']));
    expect(report.checks.every((check) => check.status === 'passed')).toBe(true);
  }), 240_000);

  it('have certificates, keys and a database each, for their owner alone', verifies(['RM-05', 'PRS-10.2-01'], () => {
    for (const home of [node.home, path.join(node.home, 'node-b')]) {
      for (const folder of ['federation', 'secrets']) {
        expect(statSync(path.join(home, folder)).mode & 0o777, folder).toBe(0o700);
        for (const file of readdirSync(path.join(home, folder))) expect(statSync(path.join(home, folder, file)).mode & 0o777, `${folder}/${file}`).toBe(0o600);
      }
    }
    const secret = (home: string, file: string): string => readFileSync(path.join(home, file), 'utf8');
    for (const file of ['secrets/signing-key', 'secrets/database-url', 'federation/authority.key', 'federation/node.key']) expect(secret(node.home, file)).not.toBe(secret(path.join(node.home, 'node-b'), file));
    for (const file of ['federation/authority.key', 'federation/node.key']) expect(printed).not.toContain(secret(node.home, file).split('\n')[1]);
  }));

  it('are both in status, logs and federation peers', verifies(['PRS-8.1-04', 'PRS-8.1-05'], async () => {
    const status = JSON.parse((await agentos('status', '--json')).stdout) as CliStatus;
    expect(validators.CliStatus(status), JSON.stringify(validators.CliStatus.errors)).toBe(true);
    expect(status.services.map((service) => service.name).filter((name) => NAMES.includes(name)).sort()).toEqual([...NAMES].sort());
    expect(status.services.filter((service) => NAMES.includes(service.name)).map((service) => service.state)).toEqual(NAMES.map(() => 'ready'));
    expect((await agentos('logs', 'node-b/federation')).stdout).toContain('stk_local_node_b');
    expect((await agentos('logs', 'node-c/federation')).code).toBe(2);
    for (const [which, peer] of [['node-a', 'stk_local_node_b'], ['node-b', 'stk_local']] as const) {
      const result = await agentos('federation', 'peers', '--node', which, '--json');
      expect(result.code, result.stderr + result.stdout).toBe(0);
      const document = JSON.parse(result.stdout) as CliFederation;
      expect(validators.CliFederation(document), JSON.stringify(validators.CliFederation.errors)).toBe(true);
      expect(document.peers).toMatchObject([{ stack_id: peer, state: 'met', tenants: ['*'] }]);
    }
  }), 180_000);

  it('are administered and used one by one: --node', verifies(['PRS-8.1-09'], async () => {
    const json = async (...args: readonly string[]) => {
      const result = await agentos(...args, '--json');
      expect(result.code, result.stderr).toBe(0);
      return result.stdout;
    };
    await json('tenants', 'create', 'tnt_of_b', '--name', 'There alone', '--node', 'node-b');
    const tenantsOf = async (which: string): Promise<readonly string[]> => (JSON.parse(await json('tenants', 'list', '--node', which)) as CliTenants).tenants!.map(({ tenant_id }) => tenant_id);
    expect([(await tenantsOf('a')).includes('tnt_of_b'), (await tenantsOf('b')).includes('tnt_of_b')]).toEqual([false, true]);
    await json('principals', 'put', 'svc_there', '--tenant', 'tnt_of_b', '--node', 'b');
    const { secret } = JSON.parse((await node.agentos('keys', 'create', '--tenant', 'tnt_of_b', '--principal', 'svc_there', '--node', 'b', '--json')).stdout) as CliKeys;
    const statusOf = async (port: number, credential: string): Promise<number> => (await fetch(`http://127.0.0.1:${port}/v1/runs`, { headers: { authorization: `Bearer ${credential}` } })).status;
    expect([await statusOf(base + OFFSET, secret!), await statusOf(base, secret!)]).toEqual([200, 401]);
    const { token } = JSON.parse((await node.agentos('token', '--node', 'b', '--json')).stdout) as CliToken;
    expect([await statusOf(base + OFFSET, token), await statusOf(base, token)]).toEqual([200, 401]);
    const ran = await agentos('run', 'agt_sample_echo_v1', '--input', 'over there', '--node', 'node-b', '--json');
    expect(ran.code, ran.stderr).toBe(0);
    const { run } = JSON.parse(ran.stdout.trim().split('\n').at(-1)!) as { run: Run };
    const recordsOf = async (which: string): Promise<number> => (JSON.parse(await json('audit', 'list', '--resource', run.run_id, '--node', which)) as { records: unknown[] }).records.length;
    expect(await recordsOf('b')).toBeGreaterThan(0);
    expect(await recordsOf('a')).toBe(0);
    expect((await agentos('audit', 'verify', '--node', 'b')).code).toBe(0);
    expect((await agentos('tenants', 'list', '--node', 'c')).code).toBe(2);
    expect((await agentos('status', '--node', 'b')).code, 'shows both in any case').toBe(2);
  }), 120_000);

  it('renew a certificate without a restart', async () => {
    const before = await pidsOf();
    const certificate = readFileSync(path.join(node.home, 'node-b/federation/node.crt'), 'utf8');
    expect((await agentos('federation', 'certs', '--renew', '--node', 'node-b')).code).toBe(0);
    expect(readFileSync(path.join(node.home, 'node-b/federation/node.crt'), 'utf8')).not.toBe(certificate);
    // Both follow their files within seconds; what validate asks is a run that is forwarded.
    await expect.poll(() => agentos('logs', 'node-b/federation', '--since', '1m').then(({ stdout }) => stdout), { timeout: 15_000, interval: 500 }).toMatch(/certificate was read again/i);
    const validated = await agentos('validate');
    expect(validated.code, validated.stdout).toBe(0);
    expect(validated.stdout).toMatch(/passed +a run forwarded to node-b completes there/);
    expect(validated.stdout).toMatch(/passed +node-b\/another tenant sees none of it/);
    expect(await pidsOf()).toEqual(before);
  }, 120_000);

  it('go on after kill -9 of a whole node: up again starts what is gone and leaves the rest alone', verifies(['PRS-8.1-01', 'PRS-8.1-09', 'PRS-7.4-11'], async () => {
    const before = await pidsOf();
    const gone = NAMES.filter((name) => name.startsWith('node-b/') && name !== 'node-b/postgres');
    for (const name of gone) process.kill(before[name]!, 'SIGKILL');
    expect((await agentos('status')).code).toBe(1);
    const peers = await agentos('federation', 'peers');
    expect([peers.code, peers.stdout]).toEqual([1, expect.stringMatching(/stk_local_node_b +away/)]);
    const up = await agentos('up');
    expect(up.code, up.stderr).toBe(0);
    const after = await pidsOf();
    for (const name of NAMES) expect(after[name] === before[name], name).toBe(!gone.includes(name));
  }), 240_000);

  it('part at a word, without a restart, and meet again with up', verifies(['PRS-7.4-01', 'RM-05'], async () => {
    const before = await pidsOf();
    expect((await agentos('federation', 'remove-peer', 'stk_local', '--node', 'node-b')).code).toBe(0);
    const stateOf = async (): Promise<string> => (JSON.parse((await agentos('federation', 'peers', '--json')).stdout) as CliFederation).peers![0]!.state;
    await expect.poll(stateOf, { timeout: 15_000, interval: 500 }).toBe('refused');
    const validated = await agentos('validate');
    expect([validated.code, validated.stdout]).toEqual([1, expect.stringMatching(/failed +a run forwarded to node-b completes there/)]);
    const up = await agentos('up');
    expect(up.code, up.stderr).toBe(0);
    expect(await stateOf()).toBe('met');
    expect(await pidsOf()).toEqual(before);
  }), 120_000);

  it('do what the example says that they do', async () => {
    const url = (port: number): string => `http://127.0.0.1:${port}`;
    const env = { ...node.env, AGENTOS_AGENT_ORCHESTRATOR_URL: url(base), AGENTOS_FEDERATION_URL: url(base + 2) };
    const result = await runCommand(process.execPath, ['--import', 'tsx', path.join(repositoryRoot, 'examples/federated-run.ts')], { cwd: repositoryRoot, env, timeoutMs: 60_000 });
    expect(result.code, result.stderr).toBe(0);
    expect(result.stdout).toMatch(/is queued on stk_local_node_b[\s\S]*agentos\.run\.completed[\s\S]*good morning from node A/);
    const nobody = await runCommand(process.execPath, ['--import', 'tsx', path.join(repositoryRoot, 'examples/federated-run.ts')], { cwd: repositoryRoot, env: { ...env, TARGET_STACK_ID: 'stk_nobody' }, timeoutMs: 60_000 });
    expect(nobody.code).not.toBe(0);
  }, 120_000);

  it('become one again with --profile local, and none with nuke --hard', verifies('PRS-8.1-06', async () => {
    const before = await pidsOf();
    const up = await agentos('up', '--profile', 'local');
    expect(up.code, up.stderr).toBe(0);
    expect(up.stderr).toContain('agentos up --profile federated starts them again');
    expect(Object.keys(await pidsOf()).filter((name) => name.startsWith('node-b/'))).toEqual([]);
    expect(isProcess(before['node-b/federation']!, ['federation'])).toBe(false);
    const nuked = await agentos('nuke', '--hard', '--yes-really');
    expect(nuked.code, nuked.stderr).toBe(0);
    for (const folder of ['postgres', 'federation', 'node-b/postgres', 'node-b/federation', 'node-b/secrets']) expect(existsSync(path.join(node.home, folder)), folder).toBe(false);
  }), 240_000);
});
