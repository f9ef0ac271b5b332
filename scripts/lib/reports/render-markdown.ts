/** The report as a person reads it. */
import { formatMs } from '../duration.ts';
import type { Report } from './report.ts';

export function renderMarkdown(report: Report): string {
  const sections = [
    heading(report),
    ...(report.error === null ? [] : [section('What failed', failure(report.error))]),
    section('Phases', table(['Phase', 'Result', 'Time', 'Detail'], report.phases.map((row) => [row.name, row.status, formatMs(row.duration_ms), row.detail]))),
    section('Health', table(['Service', 'Healthy', 'Ready', 'Latency', 'Detail'], report.health.map((row) => [row.service, yesNo(row.healthy), yesNo(row.ready), row.latency_ms === null ? '–' : formatMs(row.latency_ms), row.detail]))),
    section('Checks', table(['Check', 'Result', 'Time', 'Detail'], report.checks.map((row) => [row.name, row.status, formatMs(row.duration_ms), row.detail]))),
    section('Endpoints', table(['Name', 'URL', 'Port'], report.endpoints.map((row) => [row.name, row.url, String(row.port)]))),
    section('Components', table(['Component', 'Version', 'Status', 'Process', 'Digest'], report.components.map((row) => [row.name, row.version, row.status, row.pid === null ? '–' : String(row.pid), row.digest === null ? '–' : `sha256:${row.digest.slice(0, 16)}`]))),
    section('Seeded', seeded(report)),
    section('Alerting', `${report.alerting.configured ? 'Configured' : 'Not configured'}: ${report.alerting.detail}\n\nNext: ${report.alerting.next}`),
    section('Credentials', bullets(report.credentials.map((row) => `${row.what}: \`${row.where}\``))),
    ...(report.removed.length === 0 ? [] : [section('Stopped and removed', bullets(report.removed))]),
    section('Host', bullets(host(report))),
    section('What to do next', bullets(report.remediation)),
  ];
  return `${sections.join('\n\n')}\n`;
}

function heading(report: Report): string {
  return [
    `# agentos ${report.action}: ${report.outcome}`,
    '',
    `${report.started_at}, ${formatMs(report.duration_ms)}. AgentOS ${report.version}, mode ${report.mode}, profile ${report.profile}.`,
  ].join('\n');
}

function section(title: string, body: string): string {
  return `## ${title}\n\n${body === '' ? 'Nothing.' : body}`;
}

function failure(error: NonNullable<Report['error']>): string {
  const evidence = error.evidence.length === 0 ? '' : `\n\n\`\`\`\n${error.evidence.join('\n')}\n\`\`\``;
  return `${error.message}${evidence}${error.next === null ? '' : `\n\nNext: \`${error.next}\``}`;
}

function seeded(report: Report): string {
  if (report.seeded === null || report.seeded === undefined) return 'This action seeded nothing.';
  return `\`\`\`json\n${JSON.stringify({ seeded: report.seeded }, null, 2)}\n\`\`\``;
}

function host(report: Report): readonly string[] {
  const { hostname, platform, release, arch, cpus, memory_bytes, node_version } = report.host;
  return [`${hostname}: ${platform} ${release}, ${arch}`, `${cpus} cores, ${(memory_bytes / 2 ** 30).toFixed(1)} GiB`, `Node.js ${node_version}`];
}

function bullets(rows: readonly string[]): string {
  return rows.map((row) => `- ${row}`).join('\n');
}

function table(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  if (rows.length === 0) return '';
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** A bar or a line break would end the cell. */
function cell(text: string): string {
  return text.replace(/\r?\n/g, ' ').replace(/\|/g, '\\|');
}

function yesNo(value: boolean): string {
  return value ? 'yes' : 'no';
}
