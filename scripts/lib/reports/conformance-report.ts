/** The report on an adapter: a JSON document by specs/schemas/reports/conformance-report.schema.json and a Markdown twin. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { ConformanceReport } from '../../../generated/types/index.ts';
import { formatMs } from '../duration.ts';
import { redact } from '../redact.ts';
import { reportStamp, type WrittenReport } from './report.ts';

/** Writes both files. Two reports on one port in one second get different names. */
export function writeConformanceReport(folder: string, report: ConformanceReport): WrittenReport {
  mkdirSync(folder, { recursive: true });
  const clean = JSON.parse(JSON.stringify(report), (_name, value: unknown) => (typeof value === 'string' ? redact(value) : value)) as ConformanceReport;
  const base = path.join(folder, `conformance-${report.port}-${reportStamp(new Date(report.started_at))}`);
  let stem = base;
  for (let count = 2; existsSync(`${stem}.json`); count += 1) stem = `${base}-${count}`;
  writeFileSync(`${stem}.json`, `${JSON.stringify(clean, null, 2)}\n`);
  writeFileSync(`${stem}.md`, renderConformance(clean));
  return { json: `${stem}.json`, markdown: `${stem}.md` };
}

function renderConformance(report: ConformanceReport): string {
  const { totals, checks } = report;
  const failed = checks.filter((check) => check.status === 'failed');
  const sections = [
    `# agentos conformance, port ${report.port}: ${report.outcome}`,
    `${report.started_at}, ${formatMs(report.duration_ms)}. Adapter ${report.adapter ?? 'unknown'} in \`${report.adapter_file}\`; contract ${report.contract_major}.x, AgentOS ${report.version}, Node.js ${report.node_version}.`,
    ...(report.error === null ? [`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped.`] : [`## The suite could not run\n\n${report.error}`]),
    ...(failed.length === 0 ? [] : ['## What failed', ...failed.map((check) => `### ${check.part}: ${check.behaviour}\n\n\`\`\`\n${check.detail}\n\`\`\``)]),
    ...(checks.length === 0 ? [] : ['## Checks', table(report)]),
    ...(report.remediation.length === 0 ? [] : [`## What to do next\n\n${report.remediation.map((line) => `- ${line}`).join('\n')}`]),
  ];
  return `${sections.join('\n\n')}\n`;
}

function table({ checks }: ConformanceReport): string {
  const rows = checks.map(({ part, behaviour, status, duration_ms: ms, detail }) => `| ${[part, behaviour, status, formatMs(ms), status === 'skipped' ? detail : ''].map(cell).join(' | ')} |`);
  return ['| Part | Behaviour | Result | Time | Remark |', '| --- | --- | --- | --- | --- |', ...rows].join('\n');
}

const cell = (text: string): string => text.replace(/\r?\n/g, ' ').replace(/\|/g, '\\|');
