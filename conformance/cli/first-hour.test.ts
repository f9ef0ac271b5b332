/**
 * The first hour of a user, as it happens: up, run, status, logs, validate, up again, kill -9 of the orchestrator while
 * runs are under way, up, and at last nuke. One node, one story, in order.
 */
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { CliRunLine, CliStatus, Event, Report, Run } from '../../generated/types/index.ts';
import { validators } from '../../generated/validators/schemas.js';
import { repositoryRoot } from '../../scripts/lib/repository.ts';
import { isProcess, runCommand } from '../../scripts/lib/process.ts';
import { verifies } from '../http/verifies.ts';
import { createCliNode, ensureBuilt, jsonLines, type CliNode } from './node-under-test.ts';

const REVIEWS = path.join(repositoryRoot, 'examples/reviews/reviews.txt');
const SERVICES = ['postgres', 'model-policy', 'agent-orchestrator', 'federation'];
const SECRET_FILES = ['signing-key', 'postgres-password'];

// Each command is a process of its own, which takes seconds on a machine that has other things to do.
vi.setConfig({ testTimeout: 90_000 });

let node: CliNode;
/** Everything that any command printed: no secret may be in it. */
let printed = '';

beforeAll(async () => {
  await ensureBuilt();
  // Quotas wide enough to have many runs under way, and a lease short enough to wait for.
  node = await createCliNode({ env: { AGENTOS_QUOTA_RUN_CREATE_QPS: '1000', AGENTOS_QUOTA_CONCURRENT_RUNS: '1000', AGENTOS_LEASE_MS: '3000' } });
}, 180_000);

afterAll(async () => node.remove(), 180_000);

async function agentos(...args: readonly string[]): ReturnType<CliNode['agentos']> {
  const result = await node.agentos(...args);
  printed += result.stdout + result.stderr;
  return result;
}

function reportOf(stdout: string): Report {
  const report: unknown = JSON.parse(stdout);
  expect(validators.Report(report), JSON.stringify(validators.Report.errors)).toBe(true);
  return report as Report;
}

async function api<Body>(pathAndQuery: string, init: RequestInit = {}): Promise<Body> {
  const response = await fetch(node.baseUrl + pathAndQuery, { ...init, headers: { 'x-tenant-id': 'tnt_demo', 'content-type': 'application/json', ...init.headers } });
  expect(response.ok, `${pathAndQuery} answers ${response.status}`).toBe(true);
  return (await response.json()) as Body;
}

async function eventsOf(runId: string): Promise<readonly Event[]> {
  const response = await fetch(`${node.baseUrl}/v1/runs/${runId}/events`, { headers: { 'x-tenant-id': 'tnt_demo' }, signal: AbortSignal.timeout(60_000) });
  const text = await response.text();
  return text.split('\n').filter((line) => line.startsWith('data:')).map((line) => (JSON.parse(line.slice(5)) as { event: Event }).event);
}

function expectWholeLog(events: readonly Event[]): void {
  expect(events.map((event) => event.sequence)).toEqual(events.map((_event, index) => index + 1));
  expect(new Set(events.map((event) => event.event_id)).size).toBe(events.length);
  expect(events.filter((event) => /^agentos\.run\.(completed|failed|canceled)$/.test(event.type))).toHaveLength(1);
  expect(events.at(-1)?.type, JSON.stringify(events.at(-1))).toBe('agentos.run.completed');
}

describe.sequential('the first hour', () => {
  it('status before anything says that nothing runs, and what to type', async () => {
    const result = await agentos('status');
    expect(result.code).toBe(1);
    expect(result.stdout).toContain('next: npx agentos up');
  });

  it('up brings everything to readiness, seeds, checks, reports, and leaves the node running', verifies(['PRS-1-01', 'PRS-8.1-01', 'PRS-8.2-01', 'PRS-8.2-02', 'PRS-8.3-01', 'PRS-8.3-03', 'PRS-8.3-04', 'PRS-8.3-05', 'PRS-8.3-06', 'PRS-8.5-01', 'PRS-8.5-04', 'PRS-8.5-06', 'PRS-13-02'], async () => {
    const result = await agentos('up');
    expect(result.stderr).toMatch(/preflight[\s\S]*boot[\s\S]*healthy 3\/3[\s\S]*seed[\s\S]*wire[\s\S]*validate[\s\S]*checks passed/);
    expect(result.code, result.stderr).toBe(0);
    for (const fact of [node.baseUrl, 'tnt_demo', 'secrets/signing-key', 'not configured yet', '/metrics', '/v1/admin/tenants', 'npx agentos run agt_review_summarizer_v1 --input-file examples/reviews/reviews.txt']) expect(result.stdout).toContain(fact);
    for (const file of SECRET_FILES) expect(statSync(path.join(node.home, 'secrets', file)).mode & 0o777).toBe(0o600);
    const [report] = readdirSync(node.reports).filter((file) => /^up-\d{8}-\d{6}\.json$/.test(file)).map((file) => reportOf(readFileSync(path.join(node.reports, file), 'utf8')));
    expect(report).toMatchObject({ outcome: 'ok', seeded: { default_tenant_id: 'tnt_demo', platform_admin_principal_id: 'usr_platform_admin', tenant_admin_principal_id: 'usr_tnt_demo_admin' } });
    expect(report!.phases.map((phase) => phase.name)).toEqual(['preflight', 'boot', 'seed', 'wire', 'validate', 'report']);
    expect(report!.checks.length).toBeGreaterThanOrEqual(8);
    expect(report!.checks.every((check) => check.status === 'passed')).toBe(true);
    expect(report!.seeded!.sample_agent_ids).toEqual(expect.arrayContaining(['agt_sample_echo_v1', 'agt_demo', 'agt_review_summarizer_v1']));
    expect(report!.seeded!.sample_tool_ids).toContain('tool.echo');
  }), 120_000);

  it('the curl lines of the README work as they are written', verifies(['PRS-4.2-03'], async () => {
    const created = await fetch(`${node.baseUrl}/v1/agents/my-agent/runs`, { method: 'POST', headers: { 'X-Tenant-Id': 'tnt_demo', 'Content-Type': 'application/json' }, body: '{"input": "hello"}' });
    expect(created.status).toBe(201);
    expect(await (await fetch(`${node.baseUrl}/v1/health`)).json()).toMatchObject({ status: 'ok', service: 'agent-orchestrator' });
  }));

  it('run shows the timeline on stderr and the summary with its action list on stdout', async () => {
    const result = await agentos('run', 'agt_review_summarizer_v1', '--input-file', REVIEWS);
    expect(result.code, result.stderr).toBe(0);
    for (const step of ['run.created', 'tool.call.completed', 'model.completed', 'run.completed']) expect(result.stderr).toContain(step);
    expect(result.stderr).toMatch(/ \d+\.\d{3} s {2}run\.created/);
    expect(result.stdout).toMatch(/summary/i);
    expect(result.stdout).toMatch(/action list/i);
    expect(result.stdout).toContain('battery');
    expect(result.stdout).not.toContain('run.created');
  });

  it('run --json writes lines by their schema, and a run that fails exits 1', async () => {
    const good = await agentos('run', 'agt_demo', '--input', 'hello', '--json');
    const lines = jsonLines<CliRunLine>(good.stdout);
    for (const line of lines) expect(validators.CliRunLine(line), JSON.stringify(validators.CliRunLine.errors)).toBe(true);
    expect(lines.at(-1)).toMatchObject({ kind: 'result', run: { status: 'completed' } });
    const bad = await agentos('run', 'agt_demo', '--input', 'hello', '--tenant', 'tnt_nobody');
    expect(bad.code).toBe(1);
    expect(bad.stderr).toMatch(/tenant_unknown[\s\S]*next:/);
  });

  it('run replay takes the decisions of a run again from its log', verifies(['PRS-5.2-08'], async () => {
    const made = await agentos('run', 'agt_sample_echo_v1', '--input', 'hello', '--json');
    const runId = jsonLines<CliRunLine>(made.stdout).at(-1)?.run?.['run_id'] as string;
    const told = await agentos('run', 'replay', runId);
    expect(told.code, told.stderr).toBe(0);
    expect(told.stdout).toMatch(/tool\.echo +same[\s\S]*the log leads to the same 3 steps; nothing was called/);
    expect(JSON.parse((await agentos('run', 'replay', runId, '--json')).stdout)).toMatchObject({ run_id: runId, agreed: true, missing: [] });
    expect((await agentos('run', 'replay', 'run_absent')).code).toBe(1);
    expect((await agentos('run', 'agt_demo', runId)).code).toBe(2);
  }));

  it('status tells services, processes and addresses', verifies('PRS-8.1-04', async () => {
    const result = await agentos('status', '--json');
    expect(result.code).toBe(0);
    const status = JSON.parse(result.stdout) as CliStatus;
    expect(validators.CliStatus(status), JSON.stringify(validators.CliStatus.errors)).toBe(true);
    expect(status.services.map((service) => [service.name, service.state])).toEqual(SERVICES.map((name) => [name, 'ready']));
    expect(status.services.every((service) => service.pid !== null && service.uptime_seconds !== null)).toBe(true);
  }));

  it('commands find the node without the variables that up was given, and restart leaves it where it is', async () => {
    const env = Object.fromEntries(Object.entries(node.env).filter(([name]) => !name.endsWith('_PORT')));
    const elsewhere = (...args: readonly string[]) => runCommand(process.execPath, [path.join(repositoryRoot, 'dist/scripts/agentos.js'), ...args], { env });
    expect((await elsewhere('status')).stdout).toContain(node.baseUrl);
    const run = await elsewhere('run', 'agt_demo', '--input', 'hello');
    expect(run.code, run.stderr).toBe(0);
    const pids = SERVICES.slice(1).map((name) => node.pidOf(name));
    const restarted = await elsewhere('restart', 'model-policy');
    expect(restarted.code, restarted.stderr).toBe(0);
    expect(SERVICES.slice(1).map((name) => node.pidOf(name) === pids[SERVICES.indexOf(name) - 1])).toEqual([false, true, true]);
    expect((await agentos('status')).code).toBe(0);
  }, 180_000);

  it('logs shows a service\'s lines, and follows them', verifies('PRS-8.1-05', async () => {
    const all = await agentos('logs', 'agent-orchestrator', '--json');
    const lines = jsonLines(all.stdout);
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(validators.CliLogLine(line), JSON.stringify(line)).toBe(true);
    expect((await agentos('logs', 'agent-orchestrator', '--since', '2099-01-01')).stdout).toBe('');
    expect((await agentos('logs', 'postgres', '--tail', '1')).stdout).not.toBe('');
    const following = node.start('logs', 'model-policy', '--follow', '--tail', '0');
    following.kill('SIGINT');
    await once(following, 'exit');
  }));

  it('validate passes, changes nothing that was there, and reports', verifies(['PRS-8.1-03', 'PRS-8.4-01', 'PRS-3.1-05'], async () => {
    const before = await api<{ tenants: unknown[] }>('/v1/admin/tenants', { headers: { 'x-scopes': 'tenants:admin' } });
    const result = await agentos('validate', '--json');
    expect(result.code, result.stderr).toBe(0);
    const report = reportOf(result.stdout);
    expect(report.checks.map((check) => check.status)).toEqual(report.checks.map(() => 'passed'));
    expect(report.checks.map((check) => check.name)).toEqual(expect.arrayContaining(['it called a tool and a model', 'another tenant sees none of it']));
    for (const line of jsonLines(result.stderr)) expect(validators.CliProgress(line)).toBe(true);
    // Its second tenant is gone as soon as the purger has looked.
    await expect.poll(async () => (await api<{ tenants: unknown[] }>('/v1/admin/tenants', { headers: { 'x-scopes': 'tenants:admin' } })).tenants, { timeout: 30_000, interval: 500 }).toEqual(before.tenants);
  }));

  it('up again leaves healthy services alone', verifies('PRS-8.1-01', async () => {
    const pids = SERVICES.slice(1).map((name) => node.pidOf(name));
    const result = await agentos('up', '--json');
    expect(result.code, result.stderr).toBe(0);
    const report = reportOf(result.stdout);
    expect(report.phases.find((phase) => phase.name === 'boot')?.detail).toBe('postgres left alone, model-policy left alone, agent-orchestrator left alone, federation left alone');
    expect(SERVICES.slice(1).map((name) => node.pidOf(name))).toEqual(pids);
    expect(report.duration_ms).toBeLessThan(15_000);
  }));

  it('a dead service is restarted by up, and only that one', async () => {
    const [modelPolicy, federation] = [node.pidOf('model-policy'), node.pidOf('federation')];
    process.kill(federation, 'SIGKILL');
    await expect.poll(() => isProcess(federation, []), { timeout: 5_000 }).toBe(false);
    expect((await agentos('status')).code).toBe(1);
    expect((await agentos('up')).code).toBe(0);
    expect(node.pidOf('federation')).not.toBe(federation);
    expect(node.pidOf('model-policy')).toBe(modelPolicy);
  });

  it.runIf(process.platform === 'linux')('services whose state was lost are found again, by up and by restart', async () => {
    const [modelPolicy, federation] = [node.pidOf('model-policy'), node.pidOf('federation')];
    writeFileSync(path.join(node.home, 'state', 'model-policy.json'), '{"pid": 12');
    const result = await agentos('up');
    expect(result.code, result.stderr).toBe(0);
    expect(result.stderr).toContain('found again without their state file: model-policy');
    expect([node.pidOf('model-policy') === modelPolicy, isProcess(modelPolicy, ['model-policy']), node.pidOf('federation')]).toEqual([false, false, federation]);
    rmSync(path.join(node.home, 'state', 'federation.json'));
    const restarted = await agentos('restart', 'federation');
    expect(restarted.code, restarted.stderr).toBe(0);
    expect([node.pidOf('federation') === federation, isProcess(federation, ['federation'])]).toEqual([false, false]);
  }, 120_000);

  it('validate fails on a broken node and names what is broken; once up has mended it, it passes again', verifies(['PRS-13-05', 'PRS-8.1-03'], async () => {
    expect((await agentos('validate')).code, 'clean').toBe(0);
    const victim = node.pidOf('model-policy');
    process.kill(victim, 'SIGKILL');
    await expect.poll(() => isProcess(victim, []), { timeout: 5_000 }).toBe(false);
    // Readiness answers are remembered for a second.
    await expect.poll(async () => (await fetch(`${node.baseUrl}/readyz`)).status, { timeout: 5_000 }).toBe(503);
    const broken = await agentos('validate', '--json', '--timeout', '30s');
    expect(broken.code, broken.stderr).toBe(1);
    const report = reportOf(broken.stdout);
    expect(report.outcome).toBe('failed');
    const failed = report.checks.filter((check) => check.status === 'failed').map((check) => `${check.name}: ${check.detail}`).join('; ');
    expect(failed).toMatch(/model-policy is healthy and ready/);
    expect(failed, 'the others say whom they miss').toMatch(/agent-orchestrator is healthy and ready: [^;]*model-policy \(unreachable\)/);
    const run = report.checks.find((check) => check.name === 'a fresh run completes');
    expect(run, 'no time goes into waiting for what is away').toMatchObject({ status: 'skipped', detail: expect.stringMatching(/model-policy.* not ready/) });
    expect(report.checks.find((check) => check.name === 'metrics are served')?.status).toBe('failed');
    expect((await agentos('up')).code).toBe(0);
    expect((await agentos('validate')).code, 'mended').toBe(0);
  }), 120_000);

  it('runs survive kill -9 of the orchestrator: after up they complete, without a gap and without a repeat', verifies(['PRS-1-02', 'PRS-3.1-03'], async () => {
    const input = readFileSync(REVIEWS, 'utf8');
    const created = await Promise.all(Array.from({ length: 40 }, () =>
      api<{ run: Run }>('/v1/agents/agt_review_summarizer_v1/runs', { method: 'POST', body: JSON.stringify({ input }) })));
    const victim = node.pidOf('agent-orchestrator');
    await expect.poll(async () => (await api<{ runs: Run[] }>('/v1/runs?status=running')).runs.length, { interval: 5, timeout: 10_000 }).toBeGreaterThan(0);
    process.kill(victim, 'SIGKILL');
    await expect.poll(() => isProcess(victim, []), { timeout: 5_000 }).toBe(false);
    const mended = await agentos('up');
    expect(mended.code, mended.stderr).toBe(0);
    const logs = await Promise.all(created.map(({ run }) => eventsOf(run.run_id)));
    for (const events of logs) expectWholeLog(events);
    const runs = await Promise.all(created.map(({ run }) => api<{ run: Run }>(`/v1/runs/${run.run_id}`)));
    expect(runs.every(({ run }) => run.status === 'completed')).toBe(true);
    // The kill must have hit runs in flight, or this test proves nothing: those were started before it and ended after.
    const interrupted = logs.filter((events) => spansRestart(events));
    expect(interrupted.length).toBeGreaterThan(0);
  }), 120_000);

  it('restart of one service replaces it and leaves the others', async () => {
    const [modelPolicy, orchestrator] = [node.pidOf('model-policy'), node.pidOf('agent-orchestrator')];
    const result = await agentos('restart', 'model-policy', '--json');
    expect(result.code, result.stderr).toBe(0);
    expect(reportOf(result.stdout).action).toBe('restart');
    expect(node.pidOf('model-policy')).not.toBe(modelPolicy);
    expect(node.pidOf('agent-orchestrator')).toBe(orchestrator);
  }, 180_000);

  it('restart of everything while runs are under way, twice, loses nothing and changes nothing', async () => {
    const kept = async () => ({
      tenants: (await api<{ tenants: { deletion?: unknown }[] }>('/v1/admin/tenants', { headers: { 'x-scopes': 'tenants:admin' } })).tenants.filter(({ deletion }) => deletion === undefined),
      agents: (await api<{ agents: unknown[] }>('/v1/agents')).agents,
    });
    const before = await kept();
    const input = readFileSync(REVIEWS, 'utf8');
    for (let round = 0; round < 2; round += 1) {
      const created = await Promise.all(Array.from({ length: 40 }, () => api<{ run: Run }>('/v1/agents/agt_review_summarizer_v1/runs', { method: 'POST', body: JSON.stringify({ input }) })));
      const result = await agentos('restart');
      expect(result.code, result.stderr).toBe(0);
      for (const { run } of created) expectWholeLog(await eventsOf(run.run_id));
    }
    expect(await kept()).toEqual(before);
  }, 120_000);

  it('redeploy puts new processes in place and takes nothing away, with runs under way, as often as one likes', verifies(['PRS-8.1-02', 'PRS-8.4-01', 'PRS-12.2-02', 'PRS-13-06'], async () => {
    const kept = async () => ({
      tenants: (await api<{ tenants: { deletion?: unknown }[] }>('/v1/admin/tenants', { headers: { 'x-scopes': 'tenants:admin' } })).tenants.filter(({ deletion }) => deletion === undefined),
      agents: (await api<{ agents: unknown[] }>('/v1/agents')).agents,
    });
    const before = await kept();
    const input = readFileSync(REVIEWS, 'utf8');
    for (let round = 0; round < 2; round += 1) {
      const pids = SERVICES.slice(1).map((name) => node.pidOf(name));
      const created = await Promise.all(Array.from({ length: 20 }, () => api<{ run: Run }>('/v1/agents/agt_review_summarizer_v1/runs', { method: 'POST', body: JSON.stringify({ input }) })));
      const result = await agentos('redeploy', '--json');
      expect(result.code, result.stderr).toBe(0);
      const report = reportOf(result.stdout);
      expect(report).toMatchObject({ action: 'redeploy', outcome: 'ok' });
      expect(report.phases.map(({ name, status }) => [name, status])).toEqual(['preflight', 'boot', 'renew', 'seed', 'wire', 'validate', 'kept', 'report'].map((name) => [name, 'ok']));
      expect(report.phases.find(({ name }) => name === 'kept')!.detail).toContain(`${before.tenants.length} tenants`);
      for (const [index, name] of SERVICES.slice(1).entries()) expect(node.pidOf(name), name).not.toBe(pids[index]);
      for (const { run } of created) expectWholeLog(await eventsOf(run.run_id));
    }
    expect(await kept()).toEqual(before);
  }), 120_000);

  it('nuke without the flag leaves everything running; with it everything stops and the data stays', verifies(['PRS-8.1-06', 'PRS-12.2-01'], async () => {
    const pids = SERVICES.slice(1).map((name) => node.pidOf(name));
    expect((await agentos('nuke')).code).toBe(2);
    expect((await agentos('status')).code).toBe(0);
    const reportsOfNuke = () => readdirSync(node.reports).filter((file) => /^nuke-.*\.json$/.test(file)).map((file) => reportOf(readFileSync(path.join(node.reports, file), 'utf8')));
    expect(reportsOfNuke(), 'a refusal is reported too').toMatchObject([{ action: 'nuke', outcome: 'failed' }]);
    expect((await agentos('nuke', '--yes-really')).code).toBe(0);
    expect(reportsOfNuke().map((report) => report.outcome).sort()).toEqual(['failed', 'ok']);
    for (const pid of pids) expect(isProcess(pid, ['services'])).toBe(false);
    expect((await agentos('status')).code).toBe(1);
    const before = await agentos('up');
    expect(before.code, before.stderr).toBe(0);
    expect((await api<{ runs: Run[] }>('/v1/runs?limit=50')).runs.length).toBeGreaterThan(40);
  }), 120_000);

  it('nuke --hard removes the data; no command ever printed a secret', verifies(['PRS-8.1-07'], async () => {
    const secrets = SECRET_FILES.map((file) => readFileSync(path.join(node.home, 'secrets', file), 'utf8').trim());
    expect((await agentos('nuke', '--hard', '--yes-really')).code).toBe(0);
    expect(existsSync(path.join(node.home, 'postgres'))).toBe(false);
    expect(existsSync(path.join(node.home, 'secrets'))).toBe(false);
    expect(readdirSync(node.reports).some((file) => file.startsWith('nuke-'))).toBe(true);
    const reports = readdirSync(node.reports).map((file) => readFileSync(path.join(node.reports, file), 'utf8')).join('');
    for (const secret of secrets) expect(printed + reports).not.toContain(secret);
  }), 180_000);
});

/** True when two neighbouring events of a run lie further apart than the dead worker's lease had to run out. */
function spansRestart(events: readonly Event[]): boolean {
  const startedAt = events.findIndex((event) => event.type === 'agentos.run.started');
  return events.some((event, index) => index > startedAt && startedAt >= 0 && Date.parse(event.time) - Date.parse(events[index - 1]!.time) > 1_000);
}
