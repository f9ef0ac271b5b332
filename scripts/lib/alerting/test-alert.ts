/**
 * Sends an alert the way real ones go, and finds out what became of it (PRS 9.4): through Alertmanager to the mail server,
 * or, where there is no Alertmanager, to the mail server alone. An alert that nobody would get is an error here, and not
 * on the day it is needed.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CliError, EXIT } from '../errors.ts';
import { requestText, type HttpAnswer } from '../http.ts';
import { redact } from '../redact.ts';
import type { Settings } from '../settings.ts';
import { findMail } from './mailbox.ts';
import { mailServerOf, type MailServer } from './mail-server.ts';

export interface TestAlertOutcome {
  readonly testId: string;
  readonly via: 'alertmanager' | 'smtp';
  /** Alertmanager's, where it went through it. */
  readonly alertmanagerUrl: string | null;
  readonly mailServer: string;
  readonly recipients: readonly string[];
  /** The mail itself, where the node's own mailbox got it. */
  readonly mailFile: string | null;
  readonly durationMs: number;
}

const TEST_ALERT = 'AgentOSTestAlert';
const DEFAULT_TIMEOUT_MS = 60_000;
/** Alertmanager takes it for over after this long, and says so by a second mail. */
const LASTS_MS = 15_000;

export function alertmanagerUrlOf({ config: { values } }: Pick<Settings, 'config'>): { readonly url: string; readonly named: boolean } {
  const named = values.AGENTOS_ALERTMANAGER_URL;
  return { url: (named ?? `http://127.0.0.1:${values.AGENTOS_ALERTMANAGER_PORT}`).replace(/\/$/, ''), named: named !== undefined };
}

/** @throws CliError dependency when there is nobody to send it, gate when the mail server refuses it, timeout. */
export async function sendTestAlert(settings: Settings, options: { readonly signal: AbortSignal; readonly timeoutMs?: number | null }): Promise<TestAlertOutcome> {
  const mail = mailServerOf(settings);
  const { url, named } = alertmanagerUrlOf(settings);
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const testId = `test_${randomUUID()}`;
  const startedMs = performance.now();
  const answers = await ask(`${url}/-/ready`, options.signal).then(({ status }) => status === 200, () => false);
  if (answers) {
    const mailFile = await throughAlertmanager(url, mail, testId, { ...options, timeoutMs });
    return { testId, via: 'alertmanager', alertmanagerUrl: url, ...described(mail), mailFile, durationMs: performance.now() - startedMs };
  }
  if (named) throw new CliError('Alertmanager does not answer', { exitCode: EXIT.dependency, evidence: [`${url}/-/ready`], next: 'correct AGENTOS_ALERTMANAGER_URL, or start it' });
  if (mail.mailbox !== null) {
    throw new CliError('there is nobody to send an alert: no Alertmanager runs, and no mail server is named', { exitCode: EXIT.dependency, evidence: [`${url} does not answer`, 'SMTP_HOST is not set'], next: 'agentos observe up   (starts Prometheus, Alertmanager and a mailbox)' });
  }
  await byMail(mail, testId, timeoutMs);
  return { testId, via: 'smtp', alertmanagerUrl: null, ...described(mail), mailFile: null, durationMs: performance.now() - startedMs };
}

const described = (mail: MailServer) => ({ mailServer: `${mail.host}:${mail.port}`, recipients: mail.to });
const SUMMARY = 'a test alert: whoever reads this is reached by alerts';

async function throughAlertmanager(url: string, mail: MailServer, testId: string, { signal, timeoutMs }: { readonly signal: AbortSignal; readonly timeoutMs: number }): Promise<string | null> {
  const before = await mailsOf(url, signal);
  const now = Date.now();
  const alert = {
    labels: { alertname: TEST_ALERT, severity: 'warning', test_id: testId },
    annotations: { summary: SUMMARY, description: `Sent by agentos test-alert as ${testId}. A second mail will say that it is over.`, runbook: 'docs/runbooks/test-alert.md' },
    startsAt: new Date(now).toISOString(), endsAt: new Date(now + LASTS_MS).toISOString(),
  };
  const answer = await ask(`${url}/api/v2/alerts`, signal, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify([alert]) });
  if (answer.status !== 200) throw new CliError('Alertmanager refused the alert', { exitCode: EXIT.gate, evidence: [`status ${answer.status}`, redact(answer.text.slice(0, 300))], next: 'see the log of Alertmanager' });
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = mail.mailbox === null ? null : findMail(mail.mailbox, testId);
    if (found !== null) return found.file;
    const after = await mailsOf(url, signal);
    if (after.failed > before.failed) throw refusedByServer(mail, ['what the server said stands in the log of Alertmanager']);
    // In the mailbox the mail itself is looked for; elsewhere the server's word has to do.
    if (mail.mailbox === null && after.sent - after.failed > before.sent - before.failed) return null;
    if (performance.now() > deadline) {
      throw new CliError(`no mail was sent in ${Math.round(timeoutMs / 1_000)} s`, { exitCode: EXIT.timeout, evidence: [`Alertmanager at ${url} has the alert ${testId}`, `it sends mail by ${mail.host}:${mail.port}`], next: `amtool --alertmanager.url=${url} alert query ${TEST_ALERT}   (is it silenced or routed elsewhere?)` });
    }
    await sleep(250, undefined, { signal });
  }
}

/** Requests to the mail server that have ended; `alertmanager_notifications_total` counts those that have only begun. */
async function mailsOf(url: string, signal: AbortSignal): Promise<{ readonly sent: number; readonly failed: number }> {
  const { text } = await ask(`${url}/metrics`, signal);
  const sum = (name: string): number => text.split('\n').filter((line) => line.startsWith(`${name}{`) && line.includes('integration="email"')).reduce((total, line) => total + Number(line.split(' ').at(-1)), 0);
  return { sent: sum('alertmanager_notification_requests_total'), failed: sum('alertmanager_notification_requests_failed_total') };
}

const ask = (url: string, signal: AbortSignal, more: { readonly method?: string; readonly headers?: Readonly<Record<string, string>>; readonly body?: string } = {}): Promise<HttpAnswer> => requestText(url, { ...more, timeoutMs: 5_000, signal });

async function byMail(mail: MailServer, testId: string, timeoutMs: number): Promise<void> {
  const { createTransport } = await import('nodemailer');
  const limitMs = Math.min(timeoutMs, 30_000);
  const transport = createTransport({
    host: mail.host, port: mail.port, secure: mail.tls === 'implicit', requireTLS: mail.tls === 'starttls', ignoreTLS: mail.tls === 'off',
    ...(mail.user === null ? {} : { auth: { user: mail.user, pass: mail.password! } }),
    connectionTimeout: limitMs, greetingTimeout: limitMs, socketTimeout: limitMs,
  });
  try {
    const text = `${SUMMARY}\n\nSent by agentos test-alert as ${testId}, without Alertmanager: this shows that mail arrives, not that anything watches the node.\nagentos observe up starts what does.\n`;
    await transport.sendMail({ from: mail.from, to: [...mail.to], subject: `[AgentOS TEST] ${SUMMARY}`, text, headers: { 'X-AgentOS-Test': testId } });
  } catch (error) {
    throw refusedByServer(mail, [(error as Error).message]);
  } finally {
    transport.close();
  }
}

function refusedByServer(mail: MailServer, evidence: readonly string[]): CliError {
  return new CliError(`the mail server ${mail.host}:${mail.port} did not take the mail`, { exitCode: EXIT.gate, evidence: evidence.map((line) => redact(line)), next: 'check SMTP_HOST, SMTP_PORT, SMTP_TLS, SMTP_USER and SMTP_PASSWORD in .agentos.env; then agentos observe up, which hands them to Alertmanager' });
}
