/**
 * The report of an operator action (PRS 8.4): a JSON document by specs/schemas/reports/report.schema.json and a
 * Markdown twin, written to reports/<action>-YYYYMMDD-HHMMSS.{json,md}.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { arch, cpus, hostname, platform, release, totalmem } from 'node:os';
import path from 'node:path';
import type { Report, ReportHost } from '../../../generated/types/index.ts';
import { redact } from '../redact.ts';
import { renderMarkdown } from './render-markdown.ts';

export type { Report, ReportAlerting, ReportCheck, ReportComponent, ReportCredential, ReportEndpoint, ReportHealth, ReportHost, ReportPhase, ReportSeeded } from '../../../generated/types/index.ts';

export function hostInfo(): ReportHost {
  return {
    hostname: hostname(),
    platform: platform(),
    release: release(),
    arch: arch(),
    cpus: Math.max(1, cpus().length),
    memory_bytes: totalmem(),
    node_version: process.version,
  };
}

/** 2025-03-04T05:06:07Z → `20250304-050607`, UTC. */
export function reportStamp(moment: Date): string {
  return moment.toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
}

export interface WrittenReport {
  readonly json: string;
  readonly markdown: string;
}

/** Writes both files. Two reports of one action in one second get different names. */
export function writeReport(folder: string, report: Report): WrittenReport {
  mkdirSync(folder, { recursive: true });
  const clean = redactReport(report);
  const base = `${report.action}-${reportStamp(new Date(report.started_at))}`;
  let stem = path.join(folder, base);
  for (let count = 2; existsSync(`${stem}.json`); count += 1) stem = path.join(folder, `${base}-${count}`);
  writeFileSync(`${stem}.json`, `${JSON.stringify(clean, null, 2)}\n`);
  writeFileSync(`${stem}.md`, renderMarkdown(clean));
  return { json: `${stem}.json`, markdown: `${stem}.md` };
}

/** Every string of the report passes through the redaction, so that a careless message cannot leak. */
function redactReport(report: Report): Report {
  return JSON.parse(JSON.stringify(report), (_name, value: unknown) => (typeof value === 'string' ? redact(value) : value)) as Report;
}
