import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { SMTPServer } from 'smtp-server';
import { verifies } from '../../../conformance/http/verifies.ts';
import { findFreePort } from '../ports.ts';
import { loadSettings, type Settings } from '../settings.ts';
import { observabilityLines, observabilityStatus } from './alerting-status.ts';
import { mailServerOf } from './mail-server.ts';
import { findMail, mailFiles, openMailbox } from './mailbox.ts';
import { sendTestAlert } from './test-alert.ts';

const home = mkdtempSync(path.join(tmpdir(), 'agentos-alerting-'));
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
  rmSync(path.join(home, 'observability'), { recursive: true, force: true });
});

/** No Alertmanager answers unless the test names one. */
async function settingsOf(env: Readonly<Record<string, string>> = {}): Promise<Settings> {
  const [alertmanager, prometheus] = [await findFreePort(), await findFreePort()];
  return loadSettings({ mode: 'demo' }, { AGENTOS_HOME: home, AGENTOS_ENV_FILE: path.join(home, 'none'), AGENTOS_ALERTMANAGER_PORT: String(alertmanager), AGENTOS_PROMETHEUS_PORT: String(prometheus), ...env });
}

const send = (settings: Settings) => sendTestAlert(settings, { signal: AbortSignal.timeout(20_000), timeoutMs: 5_000 });

async function mailServer(more: ConstructorParameters<typeof SMTPServer>[0] = {}): Promise<{ readonly port: number; readonly mails: string[]; readonly accounts: string[] }> {
  const [mails, accounts]: [string[], string[]] = [[], []];
  const server = new SMTPServer({
    authOptional: true, allowInsecureAuth: true, logger: false,
    onAuth: ({ username, password }, _session, done) => {
      accounts.push(`${username} ${password}`);
      return password === 'right' ? done(null, { user: username }) : done(Object.assign(new Error('Invalid login'), { responseCode: 535 }));
    },
    onData(stream, _session, done) {
      let text = '';
      stream.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => {
        mails.push(text);
        done();
      });
    },
    ...more,
  });
  // A client that refuses our certificate is heard of here.
  server.on('error', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => new Promise((resolve) => void server.close(() => resolve())));
  return { port: (server.server.address() as { port: number }).port, mails, accounts };
}

describe('a test alert where no Alertmanager runs', () => {
  it('goes to the mail server of the configuration, and arrives', verifies(['PRS-9.4-01', 'PRS-9.4-02'], async () => {
    const { port, mails } = await mailServer({ disabledCommands: ['STARTTLS', 'AUTH'] });
    const outcome = await send(await settingsOf({ SMTP_HOST: '127.0.0.1', SMTP_PORT: String(port), SMTP_TLS: 'off', AGENTOS_ALERT_EMAIL: 'ops@example.com,night@example.com' }));
    expect(outcome).toMatchObject({ via: 'smtp', recipients: ['ops@example.com', 'night@example.com'], mailServer: `127.0.0.1:${port}`, alertmanagerUrl: null });
    expect(mails).toHaveLength(1);
    expect(mails[0]!.replace(/=\r\n/g, '')).toContain(outcome.testId);
  }));

  it('has nobody to go to without a mail server', async () => {
    await expect(send(await settingsOf())).rejects.toMatchObject({ exitCode: 4, next: expect.stringContaining('agentos observe up') as string });
  });

  it('is an error where the Alertmanager that is named does not answer, mail server or not', async () => {
    const { port, mails } = await mailServer({ disabledCommands: ['STARTTLS', 'AUTH'] });
    await expect(send(await settingsOf({ AGENTOS_ALERTMANAGER_URL: `http://127.0.0.1:${await findFreePort()}`, SMTP_HOST: '127.0.0.1', SMTP_PORT: String(port), SMTP_TLS: 'off', AGENTOS_ALERT_EMAIL: 'ops@example.com' }))).rejects.toMatchObject({ exitCode: 4, message: 'Alertmanager does not answer' });
    expect(mails).toEqual([]);
  });

  it.each([
    ['that does not answer', {}, { SMTP_TLS: 'off' }, true],
    ['that speaks no TLS where TLS is asked for', { disabledCommands: ['STARTTLS', 'AUTH'] }, {}, false],
    ['whose certificate nobody knows', {}, {}, false],
    ['that refuses the recipient', { disabledCommands: ['STARTTLS', 'AUTH'], onRcptTo: (_address: unknown, _session: unknown, done: (error: Error) => void) => done(new Error('no such mailbox')) }, { SMTP_TLS: 'off' }, false],
  ] as const)('is refused by a mail server %s', async (_what, options, env, gone) => {
    const { port, mails } = await mailServer(options as ConstructorParameters<typeof SMTPServer>[0]);
    const settings = await settingsOf({ SMTP_HOST: '127.0.0.1', SMTP_PORT: String(gone ? await findFreePort() : port), AGENTOS_ALERT_EMAIL: 'ops@example.com', ...env });
    await expect(send(settings)).rejects.toMatchObject({ exitCode: 1, message: expect.stringContaining('did not take the mail') as string, next: expect.stringContaining('SMTP_HOST') as string });
    expect(mails).toEqual([]);
  });
});

describe('a mail server', () => {
  it.each([
    ['without anybody who gets the mails', { SMTP_HOST: 'smtp.example.com' }, 'nobody is named'],
    ['with half a credential', { SMTP_HOST: 'smtp.example.com', AGENTOS_ALERT_EMAIL: 'ops@example.com', SMTP_USER: 'agentos' }, 'belong together'],
    ['that would see a password in the clear', { SMTP_HOST: 'smtp.example.com', AGENTOS_ALERT_EMAIL: 'ops@example.com', SMTP_USER: 'agentos', SMTP_PASSWORD: 'x', SMTP_TLS: 'off' }, 'in the clear'],
    ['with an address that is none', { SMTP_HOST: 'smtp.example.com', AGENTOS_ALERT_EMAIL: 'everybody' }, 'no mail address'],
  ])('%s is refused before anything is sent', async (_what, env, message) => {
    await expect(send(await settingsOf(env))).rejects.toMatchObject({ exitCode: 3, message: expect.stringContaining(message) as string });
  });

  it('is the mailbox of the node while none is named', async () => {
    expect(mailServerOf(await settingsOf())).toMatchObject({ host: '127.0.0.1', port: 58025, tls: 'off', to: ['operators@localhost'], mailbox: path.join(home, 'observability', 'mail') });
  });
});

describe('the mailbox of a node', () => {
  it('keeps what it is sent, for its owner alone, and relays nothing', async () => {
    const folder = path.join(home, 'observability', 'mail');
    const mailbox = await openMailbox(folder, 0);
    cleanups.push(() => mailbox.close());
    expect(mailFiles(folder)).toEqual([]);
    const { createTransport } = await import('nodemailer');
    const transport = createTransport({ host: '127.0.0.1', port: mailbox.port, ignoreTLS: true });
    await transport.sendMail({ from: 'agentos@localhost', to: 'anybody@example.com', subject: 'One', text: `first test_1 ${'long '.repeat(40)}end` });
    await transport.sendMail({ from: 'agentos@localhost', to: 'operators@localhost', subject: 'Two', text: 'second test_2' });
    await expect(transport.sendMail({ from: 'agentos@localhost', to: 'operators@localhost', subject: 'Huge', text: 'x'.repeat(2_000_000) })).rejects.toThrow();
    transport.close();
    expect(mailFiles(folder)).toHaveLength(2);
    const found = findMail(folder, 'test_1')!;
    expect(found.text).toContain('anybody@example.com');
    expect(statSync(found.file).mode & 0o777).toBe(0o600);
    expect(findMail(folder, 'test_3')).toBeNull();
  });
});

describe('what reports say', () => {
  it('is that nothing watches the node, and how to change it', verifies(['PRS-8.3-05', 'PRS-8.4-05'], async () => {
    const { alerting, endpoints } = await observabilityStatus(await settingsOf());
    expect(alerting).toMatchObject({ configured: false, detail: expect.stringContaining('Prometheus does not answer') as string, next: expect.stringContaining('agentos observe up') as string });
    expect(endpoints).toEqual([]);
  }));

  it('is what is wrong with the mail server', async () => {
    expect((await observabilityStatus(await settingsOf({ SMTP_HOST: 'smtp.example.com' }))).alerting).toMatchObject({ configured: false, detail: expect.stringContaining('nobody is named') as string });
  });

  it('names metrics, dashboards, logs and traces, each with its address or the way to it', verifies(['PRS-8.3-02'], async () => {
    const settings = await settingsOf();
    const lines = observabilityLines(settings, [{ name: 'Prometheus', url: 'http://127.0.0.1:59090', port: 59090 }], 'http://127.0.0.1:50081');
    expect(lines.map(([what]) => what)).toEqual(['Metrics', 'Prometheus', 'Alertmanager', 'Grafana', 'Logs', 'Traces']);
    expect(Object.fromEntries(lines)).toMatchObject({ Prometheus: 'http://127.0.0.1:59090', Alertmanager: expect.stringContaining('agentos observe up') as string });
  }));
});
