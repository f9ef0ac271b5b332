/**
 * The whole way, for real: Prometheus reads a live node with its own key, a service is stopped, the alert fires, and
 * Alertmanager mails to a mail server that is not the node's. Times are bounded, none is asserted.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SMTPServer } from 'smtp-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { observeDown, observeUp } from '../../scripts/lib/alerting/observe.ts';
import { observabilityStatus } from '../../scripts/lib/alerting/alerting-status.ts';
import { stackState } from '../../scripts/lib/alerting/stack.ts';
import { sendTestAlert } from '../../scripts/lib/alerting/test-alert.ts';
import { findFreePort } from '../../scripts/lib/ports.ts';
import { loadSettings, type Settings } from '../../scripts/lib/settings.ts';
import { call, untilEnded } from '../harness/client.ts';
import { planProcesses, type ProcessNode } from '../harness/processes.ts';
import { verifies } from '../http/verifies.ts';
import { query, whyMissing } from './programs.ts';
import { dashboards } from './sources.ts';

const missing = await whyMissing('prometheus', 'alertmanager', 'blackbox', 'node-exporter');
const home = mkdtempSync(path.join(tmpdir(), 'agentos-watched-'));
const mails: string[] = [];
let refusing = false;
const mailServer = new SMTPServer({
  authOptional: true, disabledCommands: ['STARTTLS'], allowInsecureAuth: true, logger: false,
  onRcptTo: (_address, _session, done) => done(refusing ? Object.assign(new Error('mailbox unavailable'), { responseCode: 550 }) : undefined),
  onData(stream, _session, done) {
    let text = '';
    stream.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => {
      mails.push(text.replace(/=\r?\n/g, '').replace(/=3D/g, '='));
      done();
    });
  },
});

let node: ProcessNode;
let settings: Settings;
let prometheus = '';

describe.skipIf(missing !== null)(`a node that is watched${missing === null ? '' : ` (left out: ${missing})`}`, () => {
  beforeAll(async () => {
    node = await planProcesses();
    for (const service of ['model-policy', 'agent-orchestrator', 'federation'] as const) await node.start(service);
    await new Promise<void>((resolve) => mailServer.listen(0, '127.0.0.1', resolve));
    const smtpPort = (mailServer.server.address() as { port: number }).port;
    const ports = await Promise.all(['PROMETHEUS', 'ALERTMANAGER', 'BLACKBOX', 'NODE_EXPORTER'].map(async (name) => [`AGENTOS_${name}_PORT`, String(await findFreePort())] as const));
    const portOf = (url: string): string => new URL(url).port;
    settings = loadSettings({ mode: 'demo' }, {
      AGENTOS_HOME: home, AGENTOS_ENV_FILE: path.join(home, 'none.env'), ...Object.fromEntries(ports),
      AGENTOS_AGENT_ORCHESTRATOR_PORT: portOf(node.urls['agent-orchestrator']), AGENTOS_MODEL_POLICY_PORT: portOf(node.urls['model-policy']), AGENTOS_FEDERATION_PORT: portOf(node.urls.federation),
      SMTP_HOST: '127.0.0.1', SMTP_PORT: String(smtpPort), SMTP_TLS: 'off', AGENTOS_ALERT_EMAIL: 'ops@example.com',
    });
    prometheus = `http://127.0.0.1:${settings.config.values.AGENTOS_PROMETHEUS_PORT}`;
    await observeUp(settings, { signal: AbortSignal.timeout(100_000), intervalSeconds: 1 }, () => undefined);
  }, 150_000);
  afterAll(async () => {
    await observeDown(settings);
    await node?.stop();
    await new Promise<void>((resolve) => mailServer.close(() => resolve()));
    rmSync(home, { recursive: true, force: true });
  }, 180_000);

  const runOnce = async (): Promise<void> => {
    const made = await call(node.urls['agent-orchestrator'], '/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'hello' } });
    await untilEnded(node.urls['agent-orchestrator'], made.body.run.run_id as string);
  };
  const until = async (what: string, holds: () => Promise<boolean> | boolean, limitMs = 90_000): Promise<void> => {
    for (const startedMs = performance.now(); performance.now() - startedMs < limitMs; await sleep(250)) if (await holds()) return;
    expect.fail(`${what} within ${limitMs / 1_000} s; Prometheus sees ${JSON.stringify(await query(prometheus, 'ALERTS or up'))}`);
  };

  it('shows all three services, ready from outside as well, and its tenants', verifies(['PRS-9.1-01', 'PRS-13-03', 'PRS-15.5-02', 'PRS-9.2-10'], async () => {
    await runOnce();
    await until('every service is up and ready', async () => (await query(prometheus, 'sum(up{job="agentos"}) + sum(probe_success{job="agentos-ready"})'))[0]?.value === 6);
    await until('the tenant is well', async () => (await query(prometheus, 'agentos:tenant_health:state{tenant_id="tnt_demo"}'))[0]?.value === 0);
  }), 100_000);

  it('fills the panels of every dashboard, and Prometheus takes each of their queries', verifies(['PRS-13-03', 'PRS-9.1-02'], async () => {
    // What has not happened on this node has no series yet: nobody was refused, blocked, redacted, streamed to or charged, and no budget is stated.
    const nothingHappened = /status=~"4|policy_block|redaction|first_byte|agentos_cost|cost_usd:increase1h$|budget|outcome!="ok"|backend_attempt_errors/;
    const queries = [...dashboards()].flatMap(([file, { panels }]) => panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [`${file}: ${title}: ${expr}`, expr.replace(/\$\w+/g, '.*')] as const)));
    let empty: string[] = [];
    for (const deadline = performance.now() + 90_000; performance.now() < deadline; await sleep(500)) {
      // Rates need two readings between which something happened.
      await runOnce();
      empty = (await Promise.all(queries.map(async ([where, expr]) => ((await query(prometheus, expr)).length === 0 && !nothingHappened.test(expr) ? [where] : [])))).flat();
      if (empty.length === 0) return;
    }
    expect(empty, 'panels that show nothing').toEqual([]);
  }), 110_000);

  it('is said to be watched by reports', verifies(['PRS-8.3-02', 'PRS-8.3-05', 'PRS-8.4-05'], async () => {
    const { alerting, endpoints } = await observabilityStatus(settings);
    expect(alerting).toMatchObject({ configured: true, detail: expect.stringContaining('mail to ops@example.com') as string, next: expect.stringContaining('agentos test-alert') as string });
    expect(endpoints.map(({ name }) => name)).toEqual(['Prometheus', 'Alertmanager']);
  }));

  it('delivers a test alert, and tells when the mail server refuses it', verifies(['PRS-9.4-01', 'PRS-9.4-02', 'PRS-13-04'], async () => {
    const { testId, via, recipients } = await sendTestAlert(settings, { signal: AbortSignal.timeout(60_000) });
    expect([via, recipients]).toEqual(['alertmanager', ['ops@example.com']]);
    expect(mails.filter((mail) => mail.includes(testId))).toHaveLength(1);
    refusing = true;
    await expect(sendTestAlert(settings, { signal: AbortSignal.timeout(60_000) })).rejects.toMatchObject({ exitCode: 1, message: expect.stringContaining('did not take the mail') as string });
    refusing = false;
  }), 120_000);

  it('mails that a service is down, and that it is there again', verifies(['PRS-9.3-01', 'PRS-8.5-03', 'PRS-13-04'], async () => {
    await node.kill('federation', 'SIGTERM');
    const about = (status: string): string | undefined => mails.find((mail) => mail.includes(`${status}  AgentOSServiceDown`));
    await until('the alert is mailed', () => about('FIRING') !== undefined, 120_000);
    expect(about('FIRING')).toContain('docs/runbooks/service-down.md');
    expect(about('FIRING')).toContain('service: federation');
    await node.start('federation');
    await until('that it is over is mailed', () => about('RESOLVED') !== undefined, 120_000);
  }), 260_000);

  it('is left alone by a second start, and leaves nothing running', async () => {
    const before = stackState(home);
    const { parts } = await observeUp(settings, { signal: AbortSignal.timeout(60_000), intervalSeconds: 1 }, () => undefined);
    expect(parts.map(({ action }) => action)).toEqual(parts.map(() => 'left alone'));
    expect(stackState(home)).toEqual(before);
    expect((await observeDown(settings)).length).toBe(4);
    expect(stackState(home)).toEqual({});
  }, 90_000);
});
