/** The node under other circumstances: dev mode, an ordinary user, a Postgres of the user's own, taken ports, Ctrl-C. */
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CliStatus, Run } from '../../generated/types/index.ts';
import { isProcess } from '../../scripts/lib/process.ts';
import { startTestPostgres } from '../../scripts/lib/postgres/index.ts';
import { repositoryRoot } from '../../scripts/lib/repository.ts';
import { verifies } from '../http/verifies.ts';
import { cliNodes } from './node-under-test.ts';

const NOBODY = 65534;
const { newNode, atEnd } = cliNodes();

describe('agentos up --mode dev', () => {
  it('makes API keys, tells where they lie, and asks everybody for one', verifies(['PRS-8.1-08', 'PRS-8.3-03'], async () => {
    const node = await newNode();
    const up = await node.agentos('up', '--mode', 'dev');
    expect(up.code, up.stderr).toBe(0);
    const file = path.join(node.home, 'secrets', 'tnt_demo-admin.api-key');
    expect(up.stdout).toContain(file);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const key = readFileSync(file, 'utf8').trim();
    expect(up.stdout + up.stderr).not.toContain(key);
    const anonymous = await fetch(`${node.baseUrl}/v1/agents`, { headers: { 'x-tenant-id': 'tnt_demo' } });
    expect(anonymous.status).toBe(401);
    expect((await fetch(`${node.baseUrl}/v1/agents`, { headers: { authorization: `Bearer ${key}` } })).status).toBe(200);
    expect((await fetch(`${node.baseUrl}/v1/admin/tenants`, { headers: { authorization: `Bearer ${key}` } })).status).toBe(403);
    const run = await node.agentos('run', 'agt_demo', '--input', 'hello');
    expect(run.code, run.stderr).toBe(0);
    const validate = await node.agentos('validate');
    expect(validate.code, validate.stderr).toBe(0);
    const again = await node.agentos('up', '--mode', 'dev');
    expect(again.code).toBe(0);
    expect(readFileSync(file, 'utf8').trim()).toBe(key);
  }), 120_000);
});

describe('an ordinary user', () => {
  it('brings a node up in an empty folder with nothing set, runs an agent, and takes it down', verifies(['PRS-13-01'], async () => {
    // Whoever runs the tests is ordinary already, unless it is root.
    const uid = process.getuid!() === 0 ? NOBODY : process.getuid!();
    const node = await newNode(process.getuid!() === 0 ? { uid } : {});
    const up = await node.agentos('up');
    expect(up.code, up.stderr).toBe(0);
    const status = JSON.parse((await node.agentos('status', '--json')).stdout) as CliStatus;
    for (const service of status.services) expect(statSync(`/proc/${service.pid}`).uid).toBe(uid);
    const run = await node.agentos('run', 'agt_review_summarizer_v1', '--input-file', path.join(repositoryRoot, 'examples/reviews/reviews.txt'));
    expect(run.code, run.stderr).toBe(0);
    expect((await node.agentos('nuke', '--hard', '--yes-really')).code).toBe(0);
  }), 120_000);
});

describe('a Postgres server of the user\'s own', () => {
  it('is used by DATABASE_URL in place of the embedded one, and never stopped', async () => {
    const server = await startTestPostgres();
    atEnd(() => server.stop());
    const node = await newNode({ env: { DATABASE_URL: server.url } });
    const up = await node.agentos('up');
    expect(up.code, up.stderr).toBe(0);
    const status = JSON.parse((await node.agentos('status', '--json')).stdout) as CliStatus;
    expect(status.services[0]).toMatchObject({ name: 'postgres', state: 'external', port: server.port });
    expect((await node.agentos('nuke', '--hard', '--yes-really')).code).toBe(0);
    expect(isProcess(server.pid, ['postgres'])).toBe(true);
  }, 120_000);

  it('that does not answer is named, without its password', async () => {
    const node = await newNode({ env: { DATABASE_URL: 'postgres://someone:topsecret@127.0.0.1:9/agentos' } });
    const up = await node.agentos('up');
    expect(up.code).toBe(4);
    expect(up.stderr).toContain('someone:***@127.0.0.1:9');
    expect(up.stderr).not.toContain('topsecret');
  });
});

describe('a taken port', () => {
  it('is named with its holder before anything starts', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    atEnd(async () => holder.close());
    const { port } = holder.address() as { port: number };
    const node = await newNode({ env: { AGENTOS_FEDERATION_PORT: String(port) } });
    const up = await node.agentos('up');
    expect(up.code).toBe(3);
    expect(up.stderr).toMatch(new RegExp(`port ${port} \\(federation\\).*pid ${process.pid}`));
    expect(up.stderr).not.toContain('the embedded Postgres');
  });
});

describe('Ctrl-C', () => {
  it('cancels the run that is being watched and exits 130', verifies('PRS-4.2-05', async () => {
    const node = await newNode({ env: { AGENTOS_WORKER_CONCURRENCY: '1', AGENTOS_QUOTA_RUN_CREATE_QPS: '1000', AGENTOS_QUOTA_CONCURRENT_RUNS: '1000' } });
    expect((await node.agentos('up')).code).toBe(0);
    const input = readFileSync(path.join(repositoryRoot, 'examples/reviews/reviews.txt'), 'utf8');
    const headers = { 'x-tenant-id': 'tnt_demo', 'content-type': 'application/json' };
    // One worker and a queue in front of it, so that the watched run is still waiting.
    await Promise.all(Array.from({ length: 30 }, () => fetch(`${node.baseUrl}/v1/agents/agt_review_summarizer_v1/runs`, { method: 'POST', headers, body: JSON.stringify({ input }) })));
    const watched = node.start('run', 'agt_demo', '--input', 'hello');
    let seen = '';
    watched.stderr!.on('data', (chunk: Buffer) => { seen += chunk.toString(); });
    await expect.poll(() => seen, { timeout: 10_000, interval: 5 }).toContain('run.created');
    watched.kill('SIGINT');
    const [code] = (await once(watched, 'exit')) as [number];
    expect(seen).toContain('canceled run_');
    expect(code).toBe(130);
    const runId = /run_[0-9A-Z]{26}/.exec(seen)![0];
    const { run } = (await (await fetch(`${node.baseUrl}/v1/runs/${runId}`, { headers })).json()) as { run: Run };
    expect(run.status).toBe('canceled');
  }), 120_000);
});
