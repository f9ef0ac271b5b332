/** What every report of a node holds, filled from settings and from what is running. */
import { existsSync } from 'node:fs';
import { observabilityStatus } from '../alerting/alerting-status.ts';
import type { CliError } from '../errors.ts';
import { apiKeyFile, signingKeyFile, tenantKeyFile } from '../identity.ts';
import { federationFiles, isFederated } from '../federation/files.ts';
import { nodesOf, prefixOf } from '../nodes.ts';
import type { PhasesResult } from '../phases.ts';
import { passwordFile, postgresStatus } from '../postgres/index.ts';
import { agentosVersion } from '../repository.ts';
import { readSeeded } from '../seeded.ts';
import { SERVICES } from '../services/catalog.ts';
import { probeService } from '../services/probe.ts';
import { livingState } from '../services/state.ts';
import { clientHost, listenerOf, schemeOf, type Settings } from '../settings.ts';
import { hostInfo, type Report, type ReportAlerting, type ReportComponent, type ReportCredential, type ReportEndpoint, type ReportHealth } from './report.ts';

const NOT_LOOKED_AT: ReportAlerting = { configured: false, detail: 'Not looked at: the action did not begin.', next: 'agentos observe status' };

/** A report without phases and checks, of the node as it is now. */
export async function emptyReport(settings: Settings, action: Report['action'], startedAt: Date): Promise<Report> {
  const observability = await observabilityStatus(settings);
  const nodes = await Promise.all(nodesOf(settings).map(async (node) => ({ node, prefix: prefixOf(node), health: await readHealth(node) })));
  return {
    ...refusalReport(settings, action, startedAt, null),
    components: nodes.flatMap(({ node, prefix, health }) => components(node, health).map((row) => ({ ...row, name: `${prefix}${row.name}` }))),
    endpoints: [...nodes.flatMap(({ node }) => endpoints(node)), ...observability.endpoints],
    alerting: observability.alerting,
    health: nodes.flatMap(({ prefix, health }) => health.map(({ version: _version, ...row }) => ({ ...row, service: `${prefix}${row.service}` }))),
    credentials: nodes.flatMap(({ node }) => credentials(node)),
  };
}

/** The report of an action that did not begin: nothing of the node is looked at. */
export function refusalReport(settings: Settings, action: Report['action'], startedAt: Date, error: CliError | null): Report {
  const finishedAt = new Date();
  return {
    report_version: '1.0',
    action,
    outcome: error === null ? 'ok' : 'failed',
    started_at: startedAt.toISOString(),
    finished_at: finishedAt.toISOString(),
    duration_ms: finishedAt.getTime() - startedAt.getTime(),
    mode: settings.mode,
    profile: settings.profile,
    version: agentosVersion,
    host: hostInfo(),
    components: [],
    endpoints: [],
    phases: [],
    health: [],
    checks: [],
    seeded: null,
    alerting: NOT_LOOKED_AT,
    credentials: [],
    removed: [],
    remediation: error?.next == null ? [] : [error.next],
    error: error === null ? null : describeError(error),
  };
}

/** Sets outcome, times, phases and error of a report whose work has ended. */
export function finishReport(report: Report, result: PhasesResult): Report {
  const finishedAt = new Date();
  const remediation = result.error?.next == null ? report.remediation : [result.error.next, ...report.remediation];
  return {
    ...report,
    outcome: result.error === null ? 'ok' : 'failed',
    finished_at: finishedAt.toISOString(),
    duration_ms: finishedAt.getTime() - Date.parse(report.started_at),
    phases: [...result.phases],
    remediation,
    error: result.error === null ? null : describeError(result.error),
  };
}

function describeError(error: CliError): NonNullable<Report['error']> {
  return { message: error.message, evidence: [...error.evidence], next: error.next };
}

async function readHealth(settings: Settings): Promise<ReadonlyArray<ReportHealth & { readonly version: string | null }>> {
  return Promise.all(SERVICES.map(async (service) => {
    // A port that somebody else holds and never answers on must not hold up the report of a failure.
    const probe = await probeService(service, listenerOf(settings, service.name), 1_000);
    return { service: service.name, healthy: probe.healthy, ready: probe.ready, latency_ms: probe.latencyMs, detail: probe.detail, version: probe.version };
  }));
}

function components(settings: Settings, health: ReadonlyArray<{ readonly service: string; readonly version: string | null }>): ReportComponent[] {
  const services = SERVICES.map((service): ReportComponent => {
    const living = livingState(settings.home, service.name);
    const version = health.find((row) => row.service === service.name)?.version ?? 'unknown';
    return { name: service.name, version, digest: living?.buildId ?? null, pid: living?.pid ?? null, status: living === null ? 'stopped' : 'running' };
  });
  return [postgresComponent(settings), ...services];
}

function postgresComponent(settings: Settings): ReportComponent {
  if (settings.databaseUrl !== null) return { name: 'postgres', version: 'external', digest: null, pid: null, status: 'external' };
  const server = postgresStatus(settings.home);
  return { name: 'postgres', version: 'embedded 18', digest: null, pid: server?.pid ?? null, status: server === null ? 'stopped' : 'running' };
}

export function endpoints(settings: Settings): ReportEndpoint[] {
  const host = clientHost(settings);
  const services = [...SERVICES].sort((a, b) => settings.ports[a.name] - settings.ports[b.name]).map((service) => ({ name: service.title, url: `${schemeOf(settings)}://${host}:${settings.ports[service.name]}`, port: settings.ports[service.name] }));
  const server = settings.databaseUrl === null ? postgresStatus(settings.home) : null;
  const rows = [
    ...services,
    ...(isFederated(settings.home) && settings.peerPort !== null ? [{ name: 'Federation, for peers', url: `https://${peerHost(settings)}:${settings.peerPort}`, port: settings.peerPort }] : []),
    ...(server === null ? [] : [{ name: 'Postgres (embedded)', url: `postgres://127.0.0.1:${server.port}/agentos`, port: server.port }]),
  ];
  return rows.map((row) => ({ ...row, name: `${prefixOf(settings)}${row.name}` }));
}

function peerHost({ config }: Settings): string {
  const host = config.values.AGENTOS_FED_PEER_HOST;
  return host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
}

/** Where the credentials of this node lie; only what is there. */
export function credentials(settings: Settings): ReportCredential[] {
  const tenantId = readSeeded(settings.home)?.default_tenant_id ?? settings.defaultTenant;
  const rows: ReportCredential[] = [
    { what: `API key of the administrator of ${tenantId}`, where: tenantKeyFile(settings.home, tenantId) },
    { what: 'API key of the platform administrator', where: apiKeyFile(settings.home, 'platform') },
    { what: 'Signing key of the tokens between services', where: signingKeyFile(settings.home) },
    { what: 'Password of the embedded Postgres (user postgres)', where: passwordFile(settings.home) },
    { what: 'Key of the authority that its peers trust', where: federationFiles(settings.home).authorityKey },
    { what: 'Key of its certificate among peers', where: federationFiles(settings.home).key },
  ];
  return rows.filter((row) => existsSync(row.where)).map((row) => (settings.node === 'node-a' ? row : { ...row, what: `${row.what}, ${settings.node}` }));
}
