/** Alerting as people meet it on the command line: test-alert, validate --test-alert, observe, and what up says. */
import { SMTPServer } from 'smtp-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findFreePort } from '../../scripts/lib/ports.ts';
import { createCliNode, ensureBuilt, type CliNode } from '../cli/node-under-test.ts';
import { verifies } from '../http/verifies.ts';

let node: CliNode;
const mails: string[] = [];
let refusing = false;
const mailServer = new SMTPServer({
  authOptional: true, disabledCommands: ['STARTTLS', 'AUTH'], logger: false,
  onRcptTo: (_address, _session, done) => done(refusing ? new Error('no such mailbox') : undefined),
  onData(stream, _session, done) {
    let text = '';
    stream.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => {
      mails.push(text.replace(/=\r\n/g, ''));
      done();
    });
  },
});

beforeAll(async () => {
  await ensureBuilt();
  await new Promise<void>((resolve) => mailServer.listen(0, '127.0.0.1', resolve));
  const [alertmanager, prometheus] = [await findFreePort(), await findFreePort()];
  node = await createCliNode({ env: {
    AGENTOS_ALERTMANAGER_PORT: String(alertmanager), AGENTOS_PROMETHEUS_PORT: String(prometheus),
    SMTP_HOST: '127.0.0.1', SMTP_PORT: String((mailServer.server.address() as { port: number }).port), SMTP_TLS: 'off', AGENTOS_ALERT_EMAIL: 'ops@example.com',
  } });
}, 120_000);
afterAll(async () => {
  await node?.remove();
  await new Promise<void>((resolve) => mailServer.close(() => resolve()));
}, 90_000);

describe('the command line', () => {
  it('says after up where to look and that nothing watches the node yet', verifies(['PRS-8.3-02', 'PRS-8.3-05'], async () => {
    const { code, stdout, stderr } = await node.agentos('up');
    expect(code, stderr).toBe(0);
    for (const fact of ['Observability', '/metrics, and so for each service', 'not running: npx agentos observe up', 'agentos logs', 'not configured yet: Nothing watches the node', 'ops@example.com', 'agentos test-alert']) expect(stdout).toContain(fact);
  }), 180_000);

  it('sends a test alert and says what became of it', verifies(['PRS-9.4-02', 'PRS-13-04'], async () => {
    const { code, stdout, stderr } = await node.agentos('test-alert', '--json');
    expect(code, stderr).toBe(0);
    const said = JSON.parse(stdout) as { test_id: string; via: string; recipients: string[] };
    expect(said).toMatchObject({ command: 'test-alert', via: 'smtp', recipients: ['ops@example.com'], alertmanager_url: null });
    expect(mails.filter((mail) => mail.includes(said.test_id))).toHaveLength(1);
    refusing = true;
    const failed = await node.agentos('test-alert');
    refusing = false;
    expect([failed.code, failed.stdout]).toEqual([1, '']);
    expect(failed.stderr).toMatch(/did not take the mail[\s\S]*next: /);
  }), 180_000);

  it('sends one with validate, where it is asked to', verifies(['HLD-9.3-01', 'PRS-9.4-02'], async () => {
    const before = mails.length;
    const without = await node.agentos('validate');
    expect([without.code, mails.length, without.stdout.includes('a test alert arrives')], without.stderr).toEqual([0, before, false]);
    const { code, stdout } = await node.agentos('validate', '--test-alert');
    expect([code, mails.length, stdout.includes('passed   a test alert arrives')]).toEqual([0, before + 1, true]);
    refusing = true;
    const failed = await node.agentos('validate', '--test-alert');
    refusing = false;
    expect([failed.code, failed.stdout.includes('failed   a test alert arrives')]).toEqual([1, true]);
  }), 180_000);

  it('knows that nothing watches, and what it may be asked', async () => {
    expect((await node.agentos('observe', 'status')).code).toBe(1);
    const unknown = await node.agentos('observe', 'sideways');
    expect([unknown.code, unknown.stderr.includes('known: up, down, status, render')]).toEqual([2, true]);
    const stopped = await node.agentos('observe', 'down', '--json');
    expect([stopped.code, (JSON.parse(stopped.stdout) as { action: string }).action]).toEqual([0, 'down']);
  }, 180_000);
});
