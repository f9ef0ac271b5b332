import type { CliTestAlert } from '../../generated/types/index.ts';
import { sendTestAlert, type TestAlertOutcome } from '../lib/alerting/test-alert.ts';
import type { Command } from '../lib/command.ts';
import { formatMs } from '../lib/duration.ts';
import { EXIT } from '../lib/errors.ts';
import type { Output } from '../lib/output.ts';
import { loadSettings } from '../lib/settings.ts';

export const command: Command = {
  name: 'test-alert',
  summary: 'Send a real alert the way alerts go, and say whether it arrived',
  examples: ['agentos test-alert', 'SMTP_HOST=smtp.example.com AGENTOS_ALERT_EMAIL=ops@example.com agentos test-alert', 'agentos test-alert --json --timeout 30s'],
  async run({ output, global, signal }) {
    const settings = loadSettings({ mode: global.mode, profile: global.profile, asBroughtUp: true });
    const outcome = await sendTestAlert(settings, { signal, timeoutMs: global.timeoutMs });
    output.result(documentOf(outcome), describe(output, outcome));
    return EXIT.ok;
  },
};

function documentOf(outcome: TestAlertOutcome): CliTestAlert {
  return {
    command: 'test-alert', test_id: outcome.testId, via: outcome.via, alertmanager_url: outcome.alertmanagerUrl, mail_server: outcome.mailServer,
    recipients: [...outcome.recipients], mail_file: outcome.mailFile, duration_ms: Math.round(outcome.durationMs),
  };
}

function describe(output: Output, { testId, via, alertmanagerUrl, mailServer, recipients, mailFile, durationMs }: TestAlertOutcome): string {
  const done = output.style('green', 'delivered');
  const lines = [`${done}  ${testId} in ${formatMs(durationMs)}`, `  through   ${via === 'alertmanager' ? `Alertmanager at ${alertmanagerUrl!}` : 'the mail server alone: no Alertmanager runs'}`];
  if (mailFile !== null) return [...lines, `  mail      ${mailFile}`, '  to reach people, set SMTP_HOST and AGENTOS_ALERT_EMAIL in .agentos.env, then npx agentos observe up'].join('\n');
  lines.push(`  taken by  ${mailServer} for ${recipients.join(', ')}`);
  if (via === 'smtp') lines.push('  nothing watches the node yet: npx agentos observe up');
  return lines.join('\n');
}
