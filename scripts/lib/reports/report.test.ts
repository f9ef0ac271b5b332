import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import { validators } from '../../../generated/validators/schemas.js';
import { CliError, EXIT } from '../errors.ts';
import { repositoryRoot } from '../repository.ts';
import { loadSettings } from '../settings.ts';
import { finishReport, refusalReport } from './node-report.ts';
import { renderMarkdown } from './render-markdown.ts';
import { reportStamp, writeReport, type Report } from './report.ts';

const settings = loadSettings({}, { AGENTOS_HOME: path.join(tmpdir(), 'agentos-report-test-none') });
const folders: string[] = [];
afterEach(() => { for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true }); });

function newFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'agentos-reports-'));
  folders.push(folder);
  return folder;
}

function fullReport(): Report {
  const golden = JSON.parse(readFileSync(path.join(repositoryRoot, 'examples/golden/H-seed-outputs.json'), 'utf8')) as { seeded: Report['seeded'] };
  const base = refusalReport(settings, 'up', new Date('2025-03-04T05:06:07.890Z'), null);
  return finishReport({
    ...base,
    components: [{ name: 'agent-orchestrator', version: '1.0.2', digest: 'ab'.repeat(32), pid: 4711, status: 'running' }],
    endpoints: [{ name: 'Agent Orchestrator', url: 'http://127.0.0.1:50081', port: 50081 }],
    health: [{ service: 'agent-orchestrator', healthy: true, ready: true, latency_ms: 4, detail: 'ready' }],
    checks: [{ name: 'a fresh run completes', status: 'passed', duration_ms: 31, detail: 'a|b' }],
    credentials: [{ what: 'Signing key', where: '/x/secrets/signing-key' }],
    seeded: golden.seeded,
  }, { phases: [{ name: 'boot', status: 'ok', duration_ms: 1200, detail: 'postgres created' }], error: null });
}

describe('reports', () => {
  it('come as a pair, JSON by its schema and Markdown with the same facts', verifies(['PRS-8.4-01', 'PRS-8.4-02', 'PRS-8.4-03', 'PRS-8.4-04', 'PRS-8.4-05'], () => {
    const report = fullReport();
    const files = writeReport(newFolder(), report);
    expect(path.basename(files.json)).toBe('up-20250304-050607.json');
    expect(path.basename(files.markdown)).toBe('up-20250304-050607.md');
    const stored: unknown = JSON.parse(readFileSync(files.json, 'utf8'));
    expect(validators.Report(stored), JSON.stringify(validators.Report.errors)).toBe(true);
    const text = readFileSync(files.markdown, 'utf8');
    for (const fact of ['# agentos up: ok', 'agt_sample_echo_v1', 'http://127.0.0.1:50081', 'sha256:abababababababab', 'a fresh run completes', 'Not configured', report.host.hostname, '/x/secrets/signing-key']) expect(text).toContain(fact);
  }));

  it('tell a failure with evidence and the next command first', () => {
    const error = new CliError('model-policy ended while starting', { exitCode: EXIT.dependency, evidence: ['it said this'], next: 'agentos logs model-policy' });
    const report = finishReport(fullReport(), { phases: [{ name: 'boot', status: 'failed', duration_ms: 5, detail: error.message }], error });
    expect(validators.Report(report)).toBe(true);
    expect(report).toMatchObject({ outcome: 'failed', remediation: ['agentos logs model-policy'] });
    expect(renderMarkdown(report)).toMatch(/## What failed\n\nmodel-policy ended while starting\n\n```\nit said this\n```\n\nNext: `agentos logs model-policy`/);
  });

  it('never hold a secret', () => {
    const report = { ...fullReport(), remediation: ['connect to postgres://postgres:topsecret@127.0.0.1/agentos'] };
    const files = writeReport(newFolder(), report);
    expect(readFileSync(files.json, 'utf8') + readFileSync(files.markdown, 'utf8')).not.toContain('topsecret');
  });

  it('do not overwrite each other within a second', () => {
    const folder = newFolder();
    const names = [1, 2, 3].map(() => path.basename(writeReport(folder, fullReport()).json));
    expect(new Set(names).size).toBe(3);
  });

  it.each([
    ['an action nobody knows', { action: 'explode' }],
    ['a secret-shaped extra member', { password: 'x' }],
    ['a phase without a time', { phases: [{ name: 'boot', status: 'ok', detail: '' }] }],
    ['an H block without a tenant', { seeded: { platform_admin_principal_id: 'u', tenant_admin_principal_id: 'v', sample_agent_ids: [], sample_tool_ids: [] } }],
  ])('with %s fail the schema', (_what, change) => {
    expect(validators.Report({ ...fullReport(), ...change })).toBe(false);
  });

  it('escape table cells and use UTC', () => {
    expect(renderMarkdown(fullReport())).toContain('a\\|b');
    expect(reportStamp(new Date('2025-12-31T23:59:59.999Z'))).toBe('20251231-235959');
  });
});
