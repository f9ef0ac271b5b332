/** Rules and configuration as Prometheus and Alertmanager themselves judge them, and what every alert owes its reader (PRS 9.3, 14). */
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ensureProgram, type ProgramName } from '../../scripts/lib/alerting/debian-programs.ts';
import type { MailServer } from '../../scripts/lib/alerting/mail-server.ts';
import { renderObservability, type RenderInput } from '../../scripts/lib/alerting/render.ts';
import { runCommand, type CommandResult } from '../../scripts/lib/process.ts';
import { verifies } from '../http/verifies.ts';
import { whyMissing } from './programs.ts';
import { alerts, OBSERVABILITY, REPOSITORY, rules } from './sources.ts';

const missing = await whyMissing('promtool', 'amtool', 'blackbox');
const leftOut = missing === null ? '' : ` (left out: ${missing})`;
const TESTS = path.join(OBSERVABILITY, 'prometheus', 'tests');
const RULES = path.join(OBSERVABILITY, 'prometheus', 'rules');
const folder = mkdtempSync(path.join(tmpdir(), 'agentos-rules-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = async (name: ProgramName, ...args: readonly string[]): Promise<CommandResult> => runCommand(await ensureProgram(name), args, { timeoutMs: 60_000 });
const filesIn = (where: string): readonly string[] => readdirSync(where).sort().map((file) => path.join(where, file));

const MAIL: MailServer = { host: 'smtp.example.com', port: 587, tls: 'starttls', user: 'agentos', password: 'a "pass" word: #1', from: 'alerts@example.com', to: ['ops@example.com', 'night@example.com'], mailbox: null };
const input = (more: Partial<RenderInput> = {}): RenderInput => ({
  folder: path.join(folder, 'rendered'), services: [{ service: 'agent-orchestrator', address: '10.0.0.7:50081' }], tls: false, authorityFile: null, metricsKey: 'aos_live_key.secret', mail: MAIL,
  prometheus: '127.0.0.1:59090', alertmanager: '127.0.0.1:59093', blackbox: '127.0.0.1:59115', nodeExporter: '127.0.0.1:59100', ...more,
});

describe.skipIf(missing !== null)(`rules, as promtool judges them${leftOut}`, () => {
  it('are well formed', async () => {
    const { code, stdout, stderr } = await run('promtool', 'check', 'rules', '--lint-fatal', ...filesIn(RULES));
    expect(code, stdout + stderr).toBe(0);
  });

  it.each(readdirSync(TESTS).sort())('fire when they should, and none besides: %s', verifies(['PRS-9.3-01', 'PRS-9.3-02', 'PRS-9.3-03', 'PRS-8.5-03'], async (file: string) => {
    const { code, stdout, stderr } = await run('promtool', 'test', 'rules', path.join(TESTS, file));
    expect(code, stdout + stderr).toBe(0);
  }));
});

describe('every alert', () => {
  const tested = filesIn(TESTS).flatMap((file) => [...readFileSync(file, 'utf8').matchAll(/alertname="(\w+)"/g)].map((match) => match[1]!));

  it.each(alerts().map((rule) => [rule.alert, rule] as const))('%s says what it means and what to do, and is seen to fire', verifies(['PRS-14-01'], (name: string, rule: ReturnType<typeof alerts>[number]) => {
    expect(name).toMatch(/^AgentOS[A-Z]/);
    expect(['critical', 'warning', 'none']).toContain(rule.labels?.['severity']);
    expect(rule.annotations?.['summary']?.length).toBeGreaterThan(10);
    expect(rule.annotations?.['description']?.length).toBeGreaterThan(20);
    const runbook = path.join(REPOSITORY, rule.annotations?.['runbook'] ?? 'none');
    expect(existsSync(runbook), `${rule.annotations?.['runbook']} is missing`).toBe(true);
    const text = readFileSync(runbook, 'utf8');
    for (const section of ['## What it means', '## How to look', '## What to do']) expect(text, `${runbook} lacks ${section}`).toContain(section);
    expect(text, `${runbook} does not name ${name}`).toContain(name);
    if (rule.labels?.['severity'] !== 'none') expect(tested, 'no test of promtool expects it').toContain(name);
  }));

  it('has a name of its own, and no runbook is of an alert that is gone', () => {
    expect(new Set(alerts().map(({ alert }) => alert)).size).toBe(alerts().length);
    const named = new Set([...alerts().map(({ annotations }) => path.basename(annotations!['runbook']!)), 'test-alert.md', 'README.md']);
    expect(readdirSync(path.join(REPOSITORY, 'docs', 'runbooks')).filter((file) => !named.has(file))).toEqual([]);
    expect(rules().filter(({ record }) => record !== undefined && !record.startsWith('agentos:'))).toEqual([]);
  });
});

describe.skipIf(missing !== null)(`configuration${leftOut}`, () => {
  it('that stands in the repository is taken by each program', verifies(['PRS-8.5-03'], async () => {
    for (const [name, args] of [
      ['promtool', ['check', 'config', '--syntax-only', path.join(OBSERVABILITY, 'prometheus', 'prometheus.yml')]],
      ['amtool', ['check-config', path.join(OBSERVABILITY, 'alertmanager', 'alertmanager.yml')]],
      ['blackbox', ['--config.check', `--config.file=${path.join(OBSERVABILITY, 'blackbox', 'blackbox.yml')}`]],
    ] as const) {
      const { code, stdout, stderr } = await run(name, ...args);
      expect(code, stdout + stderr).toBe(0);
    }
  }));

  it.each([['a mail server with a password', {}], ['TLS with an authority of its own', { tls: true, authorityFile: path.join(OBSERVABILITY, 'README.md') }], ['containers', { forContainers: true }]] as const)('that is written for a node is taken as well: %s', verifies(['PRS-9.4-01', 'PRS-8.5-03'], async (_name: string, more: Partial<RenderInput>) => {
    const { prometheus, alertmanager } = renderObservability(input(more));
    for (const [name, args] of [['promtool', ['check', 'config', ...(more.tls === true ? ['--syntax-only'] : []), path.join(prometheus, 'prometheus.yml')]], ['amtool', ['check-config', path.join(alertmanager, 'alertmanager.yml')]]] as const) {
      const { code, stdout, stderr } = await run(name, ...args);
      expect(code, stdout + stderr).toBe(0);
    }
  }));

  it('sends each alert to those who should have it', async () => {
    const { alertmanager } = renderObservability(input());
    const to = async (...labels: readonly string[]): Promise<string> => (await run('amtool', 'config', 'routes', 'test', `--config.file=${path.join(alertmanager, 'alertmanager.yml')}`, ...labels)).stdout.trim();
    expect(await to('alertname=AgentOSServiceDown', 'severity=critical')).toBe('operators');
    expect(await to('alertname=AgentOSTestAlert', 'severity=warning')).toBe('operators');
    expect(await to('alertname=AgentOSWatchdog', 'severity=none')).toBe('nobody');
  });
});

describe('what is written for a node', () => {
  it('holds its mail server, its addresses and its key, secrets for their owner alone', verifies(['PRS-9.4-01'], async () => {
    const { statSync } = await import('node:fs');
    const { prometheus, alertmanager } = renderObservability(input({ tls: true }));
    const mail = parse(readFileSync(path.join(alertmanager, 'alertmanager.yml'), 'utf8')) as { global: unknown; receivers: { email_configs?: { to: string }[] }[] };
    expect(mail.global).toMatchObject({ smtp_smarthost: 'smtp.example.com:587', smtp_from: 'alerts@example.com', smtp_require_tls: true, smtp_auth_username: 'agentos', smtp_auth_password: MAIL.password });
    expect(mail.receivers.flatMap(({ email_configs: emails = [] }) => emails.map(({ to }) => to))).toEqual(['ops@example.com, night@example.com']);
    expect(parse(readFileSync(path.join(prometheus, 'targets', 'agentos.yml'), 'utf8'))).toEqual([{ targets: ['10.0.0.7:50081'], labels: { service: 'agent-orchestrator', __scheme__: 'https' } }]);
    expect(readFileSync(path.join(prometheus, 'secrets', 'metrics-key'), 'utf8')).toBe('aos_live_key.secret');
    for (const secret of [path.join(prometheus, 'secrets', 'metrics-key'), path.join(alertmanager, 'alertmanager.yml')]) expect(statSync(secret).mode & 0o777).toBe(0o600);
    expect(statSync(path.join(folder, 'rendered')).mode & 0o777).toBe(0o700);
  }));
});
