import { observabilityLines } from '../lib/alerting/alerting-status.ts';
import { adminBaseUrl, baseUrl } from '../lib/api.ts';
import { bringUp, bringUpPhases, newState } from '../lib/bring-up.ts';
import type { Command } from '../lib/command.ts';
import { formatMs } from '../lib/duration.ts';
import { EXIT } from '../lib/errors.ts';
import type { Output } from '../lib/output.ts';
import type { Report } from '../lib/reports/report.ts';
import { loadSettings, type Settings } from '../lib/settings.ts';
import { ensureStateFolder } from '../lib/state-folder.ts';

export const command: Command = {
  name: 'up',
  summary: 'Bring the node up: database, services, seed data, checks',
  examples: ['agentos up', 'agentos up --mode dev', 'agentos up --profile federated', 'AGENTOS_AGENT_ORCHESTRATOR_PORT=51081 agentos up', 'agentos up --json 2>progress.jsonl >report.json'],
  async run(context) {
    const settings = loadSettings({ mode: context.global.mode, profile: context.global.profile });
    const state = newState();
    // The lock lies in the state folder, so that has to be there first.
    ensureStateFolder(settings.home);
    const { report, file } = await bringUp(context, settings, state, {
      action: 'up',
      phases: bringUpPhases(context, settings, state),
      remediation: {
        afterSuccess: ['npx agentos validate checks more, isolation of tenants included', 'npx agentos nuke --yes-really stops the node'],
        afterFailure: ['npx agentos up is safe to repeat after a failure', 'npx agentos status'],
      },
    });
    context.output.result(report, summary(context.output, settings, report, file));
    return EXIT.ok;
  },
};

function summary(output: Output, settings: Settings, report: Report, file: string): string {
  const bold = (text: string): string => output.style('bold', text);
  const times = report.phases.map((phase) => `${phase.name} ${formatMs(phase.duration_ms)}`).join(', ');
  const width = Math.max(20, ...report.endpoints.map((row) => row.name.length));
  return [
    `${output.style('green', 'AgentOS is up')} in ${formatMs(report.duration_ms)} (${times})`,
    '',
    ...report.endpoints.map((row) => `  ${row.name.padEnd(width)} ${row.url}`),
    '',
    bold('Observability'),
    ...observabilityLines(settings, report.endpoints, baseOf(settings)).map(([what, where]) => `  ${what.padEnd(20)} ${where}`),
    '',
    bold('Credentials'),
    ...(settings.mode === 'demo' ? ['  demo mode: the header X-Tenant-Id is identity enough; loopback only'] : []),
    ...report.credentials.map((row) => `  ${row.what}: ${row.where}`),
    ...(settings.mode === 'prod' ? [] : ['  a token of the node\'s own issuer: npx agentos token']),
    '  to rotate the signing key: write a new one into its file, e.g. with openssl rand -base64 48; nothing is restarted',
    '',
    bold('Tenants'),
    `  ${tenantsLine(settings, report.seeded)}`,
    `  more: npx agentos tenants create tnt_acme --name "Acme Corp", or POST ${adminBaseUrl(settings, 'agent-orchestrator')}/v1/admin/tenants (scope tenants:admin)`,
    '',
    bold('Alerting'),
    `  ${report.alerting.configured ? 'configured' : 'not configured yet'}: ${report.alerting.detail}`,
    `  ${report.alerting.next}`,
    '',
    `report: ${file}`,
    bold('next:'),
    ...nextOf(settings),
  ].join('\n');
}

function tenantsLine({ mode }: Settings, seeded: Report['seeded']): string {
  if (seeded === null) return 'none seeded';
  if (mode === 'prod') return `${seeded.default_tenant_id}, administered by ${seeded.tenant_admin_principal_id}`;
  return `default tenant ${seeded.default_tenant_id}, without run quotas of its own; agents ${seeded.sample_agent_ids.join(', ')}`;
}

function nextOf(settings: Settings): readonly string[] {
  const first = settings.mode === 'prod' ? '  npx agentos tenants create tnt_acme --name "Acme Corp"   (then docs/guides/tenants.md)' : '  npx agentos run agt_review_summarizer_v1 --input-file examples/reviews/reviews.txt';
  return settings.profile === 'federated' ? [first, '  npx agentos federation peers   (whether the two nodes meet; docs/guides/federation.md)'] : [first];
}

function baseOf(settings: Settings): string {
  return baseUrl(settings, 'agent-orchestrator');
}
