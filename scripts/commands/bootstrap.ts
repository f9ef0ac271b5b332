import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { bringUp, bringUpPhases, newState } from '../lib/bring-up.ts';
import { answersOf, type Answers } from '../lib/bootstrap/answers.ts';
import { ensureFirstTenant } from '../lib/bootstrap/first-tenant.ts';
import { writeProdSettings } from '../lib/bootstrap/prod-settings.ts';
import { proofChecks } from '../lib/bootstrap/proof.ts';
import type { Command, CommandContext } from '../lib/command.ts';
import { formatMs } from '../lib/duration.ts';
import { CliError, EXIT } from '../lib/errors.ts';
import { tenantKeyFile } from '../lib/identity.ts';
import type { Report } from '../lib/reports/report.ts';
import { loadSettings, placesOf, rememberedModeFile, type Settings } from '../lib/settings.ts';
import { ensureStateFolder } from '../lib/state-folder.ts';
import { somebodyIsThere, withTerminal } from '../lib/terminal.ts';
import { runChecks } from '../lib/validation/checks.ts';

export const command: Command = {
  name: 'bootstrap',
  summary: 'Set a node up for prod, guided: how callers reach it, the first tenant, its administrator and key',
  options: [
    { flags: '--trusted-proxy <addresses>', summary: 'TLS ends at proxies with these addresses; loopback is one on this machine' },
    { flags: '--tls-cert <file>', summary: 'or at the services themselves: the certificate' },
    { flags: '--tls-key <file>', summary: 'and its private key' },
    { flags: '--tenant <id>', summary: 'the first tenant' },
    { flags: '--name <name>', summary: 'its name for people (default: its id)' },
    { flags: '--admin <principal>', summary: 'principal id of its administrator' },
  ],
  examples: ['agentos bootstrap', 'agentos bootstrap --trusted-proxy loopback --tenant tnt_acme --name "Acme Corp" --admin usr_ada'],
  async run(context, _args, options) {
    const { home, envFile } = placesOf();
    refuseTrial(home);
    const answers = context.output.json || !somebodyIsThere() ? await answersOf(options, null) : await withTerminal((ask) => answersOf(options, ask));
    ensureStateFolder(home);
    const set = writeProdSettings(envFile, answers);
    context.output.note(`${envFile}: ${set.join(', ')}`);
    return bootstrap(context, loadSettings({ mode: 'prod', profile: context.global.profile }), answers);
  },
};

/** What a trial leaves behind (agents, memory, keys of everybody's) is nothing that customers should begin with. */
function refuseTrial(home: string): void {
  const file = rememberedModeFile(home);
  const mode = existsSync(file) ? readFileSync(file, 'utf8').trim() : 'prod';
  if (mode === 'prod') return;
  throw new CliError(`this node was brought up in ${mode}, and its data are those of a trial`, {
    exitCode: EXIT.configuration,
    evidence: [`${home} holds a tenant, agents and keys that ${mode} made`],
    next: 'agentos nuke --yes-really --hard   (removes them), or AGENTOS_HOME=<another folder> agentos bootstrap',
  });
}

async function bootstrap(context: CommandContext, settings: Settings, answers: Answers): Promise<typeof EXIT.ok> {
  const state = newState();
  const prove = async (tell: (detail: string) => void): Promise<string> => {
    const proof = await runChecks(proofChecks(settings, answers.tenantId, context.signal), context.signal, tell);
    state.checks = [...state.checks, ...proof];
    const failed = proof.filter((check) => check.status !== 'passed');
    if (failed.length > 0) throw new CliError('the node does not do what it was set up for', { exitCode: EXIT.gate, evidence: failed.map((check) => `${check.name}: ${check.detail}`), next: 'agentos logs agent-orchestrator --since 5m' });
    return `${proof.length} checks passed`;
  };
  const next = ['npx agentos bootstrap is safe to repeat', 'npx agentos validate --isolation'];
  const { report, file } = await bringUp(context, settings, state, {
    action: 'up',
    phases: [
      ...bringUpPhases(context, settings, state),
      { name: 'tenant', title: 'tenant, administrator, key', run: () => ensureFirstTenant(settings, answers, context.signal) },
      { name: 'prove', title: 'a run, and what the key opens', run: prove },
    ],
    remediation: { afterSuccess: next, afterFailure: next },
  });
  context.output.result(report, summary(context, settings, answers, report, file));
  return EXIT.ok;
}

function summary({ output }: CommandContext, settings: Settings, { tenantId, adminId }: Answers, report: Report, reportFile: string): string {
  const bold = (text: string): string => output.style('bold', text);
  const file = tenantKeyFile(settings.home, tenantId);
  const fromHere = path.relative(process.cwd(), file);
  const key = fromHere.startsWith('..') ? file : fromHere;
  const width = Math.max(...report.endpoints.map((row) => row.name.length));
  return [
    `${output.style('green', 'AgentOS is up in prod')} in ${formatMs(report.duration_ms)}`,
    '',
    ...report.endpoints.map((row) => `  ${row.name.padEnd(width)} ${row.url}`),
    '',
    bold('Credentials'),
    ...report.credentials.map((row) => `  ${row.what}: ${row.where}`),
    '',
    bold('Tenants'),
    `  ${tenantId}, administered by ${adminId}; more: npx agentos tenants create, or /v1/admin/tenants`,
    '',
    bold('Alerting'),
    `  ${report.alerting.detail}`,
    `  ${report.alerting.next}`,
    '',
    `report: ${reportFile}`,
    bold('next:'),
    `  AGENTOS_API_KEY_FILE=${key} npx agentos keys list   (as ${adminId}; docs/guides/tenants.md goes on from here)`,
    '  docs/guides/models.md connects a model: so far there is the built-in one alone',
    '  npx agentos up brings the node back up with these settings',
  ].join('\n');
}
