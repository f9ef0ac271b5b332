import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import Table from 'cli-table3';
import type { AuditRecord, CliAudit, CliAuditKey } from '../../generated/types/index.ts';
import type { LogReport } from '../../services/platform/audit/verify-log.ts';
import { table } from '../lib/administration.ts';
import { baseUrl, expectStatus, send } from '../lib/api.ts';
import { loadCheckpoints, remarksOf, rotateCheckpointKey, verifyDatabase, verifyExport } from '../lib/audit-verification.ts';
import type { Command, CommandContext, OptionValues } from '../lib/command.ts';
import { parseSince } from '../lib/duration.ts';
import { CliError, EXIT, type ExitCode } from '../lib/errors.ts';
import { credential, demoHeaders } from '../lib/identity.ts';
import { NODE_OPTION, settingsOfNode } from '../lib/one-node.ts';
import type { Output } from '../lib/output.ts';
import type { Settings } from '../lib/settings.ts';

/** Options that are filters of the API, by the query member that each is. */
const FILTERS = { action: 'action', outcome: 'outcome', principal: 'principal_id', resource: 'resource_id', resourceType: 'resource_type', correlation: 'correlation_id', service: 'service' } as const;

export const command: Command = {
  name: 'audit',
  summary: 'Verify, list or export the audit trail',
  args: [{ usage: '<verify|list|export|rotate-key>', summary: 'check the chains, show the newest records, write all of them as lines of JSON, or make a new key for checkpoints' }],
  options: [
    { flags: '--tenant <id>', summary: 'whose trail: verify checks all when it is left out; _platform is the node itself' },
    { flags: '--from-export <file>', summary: 'verify: check this file in place of the database' },
    { flags: '--filtered', summary: 'verify: the file was exported with filters, so gaps are no fault' },
    { flags: '--checkpoints <file>', summary: 'verify: signed checkpoints, with the parts set aside beside them; default: those of this node' },
    { flags: '--key <file>', summary: 'verify: the keys of the checkpoints, one behind the other in a file; public halves suffice' },
    { flags: '--action <action>', summary: 'only this action, e.g. run.create' },
    { flags: '--outcome <outcome>', summary: 'only allowed, denied or failed' },
    { flags: '--principal <id>', summary: 'only what this principal did' },
    { flags: '--resource <id>', summary: 'only what was done to this' },
    { flags: '--resource-type <type>', summary: 'only what was done to such things, e.g. agent' },
    { flags: '--correlation <id>', summary: 'only what belongs to this request or run' },
    { flags: '--service <name>', summary: 'only what this service recorded' },
    { flags: '--since <time>', summary: 'only after it: 10m ago, or an ISO 8601 time' },
    { flags: '-n, --limit <count>', summary: 'list: at most so many, 1 to 1000', default: '50' },
    { flags: '--to <file>', summary: 'export: write to this file in place of stdout' },
    NODE_OPTION,
  ],
  examples: ['agentos audit verify', 'agentos audit list --since 1h --outcome denied', 'agentos audit export --tenant tnt_acme --to trail.jsonl', 'agentos audit verify --from-export trail.jsonl --key audit-key.pub.pem --checkpoints checkpoints.jsonl'],
  async run(context, args, options) {
    const settings = settingsOfNode(context, options);
    if (args[0] === 'verify') return verify(context, settings, options);
    if (args[0] === 'list') return list(context, settings, options);
    if (args[0] === 'export') return exportTrail(context, settings, options);
    if (args[0] === 'rotate-key') return rotateKey(context, settings);
    throw new CliError(`audit knows no "${args[0]}"`, { exitCode: EXIT.usage, evidence: ['known: verify, list, export, rotate-key'], next: 'agentos audit verify' });
  },
};

const text = (value: string | boolean | undefined): string | undefined => (typeof value === 'string' ? value : undefined);

async function verify({ output }: CommandContext, settings: Settings, options: OptionValues): Promise<ExitCode> {
  const checkpoints = loadCheckpoints(settings, { key: text(options['key']), checkpoints: text(options['checkpoints']) });
  const file = text(options['fromExport']);
  const report = file === undefined ? await verifyDatabase(settings, text(options['tenant']) ?? null, checkpoints) : await verifyExport(file, checkpoints, options['filtered'] === true);
  for (const remark of remarksOf(report, checkpoints, file !== undefined)) output.note(remark);
  output.result(documentOf(report), textOf(report));
  return report.faults.length === 0 ? EXIT.ok : EXIT.gate;
}

function rotateKey({ output }: CommandContext, settings: Settings): ExitCode {
  const key = rotateCheckpointKey(settings);
  output.result({ command: 'audit', action: 'rotate-key', key } satisfies CliAuditKey, `The new key ${key.key_id} stands first in ${key.file}; the public halves of the earlier ones stay behind it and verify what those signed.`);
  output.note('Services sign with it once they are restarted: npx agentos redeploy');
  return EXIT.ok;
}

function documentOf({ chains, faults }: LogReport): CliAudit {
  return {
    command: 'audit',
    action: 'verify',
    intact: faults.length === 0,
    chains: chains.map(({ tenantId, service, records, sequence, hash, checkpoint }) => ({ tenant_id: tenantId, service, records, sequence, hash, checkpoint })),
    faults: faults.map(({ tenantId, service, sequence, kind, detail }) => ({ tenant_id: tenantId, service, sequence, kind, detail })),
  };
}

function textOf({ chains, faults }: LogReport): string {
  const table = new Table({ head: ['tenant', 'service', 'records', 'signed to', ''], style: { head: [], border: [] } });
  for (const chain of chains) table.push([chain.tenantId, chain.service, String(chain.records), chain.checkpoint === null ? '–' : String(chain.checkpoint), chain.faults.length === 0 ? 'intact' : 'BROKEN']);
  const found = faults.map(({ tenantId, service, kind, detail }) => `${kind}  ${tenantId} ${service}: ${detail}`);
  return [table.toString(), ...found, faults.length === 0 ? 'The audit trail is intact.' : `${faults.length} fault${faults.length === 1 ? '' : 's'} found.`].join('\n');
}

async function list({ output, signal }: CommandContext, settings: Settings, options: OptionValues): Promise<ExitCode> {
  const { headers, query } = request(settings, options);
  const limit = Number(options['limit']);
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) throw new CliError(`--limit cannot be "${options['limit']}"`, { exitCode: EXIT.usage, next: '--limit 100' });
  const records: AuditRecord[] = [];
  for (let after: string | undefined; records.length < limit; ) {
    query.set('limit', String(limit - records.length));
    if (after !== undefined) query.set('after', after);
    const { body } = expectStatus(await send(settings, 'agent-orchestrator', `/v1/audit?${query}`, { headers, signal }), [200], 'the audit trail cannot be read');
    const page = body as unknown as { readonly records: readonly AuditRecord[]; readonly next?: string };
    records.push(...page.records);
    after = page.next;
    if (after === undefined) break;
  }
  output.result({ command: 'audit', action: 'list', records } satisfies CliAudit, textOfRecords(records, output.style));
  return EXIT.ok;
}

/** The other node has a column where one had a part in something. */
function textOfRecords(records: readonly AuditRecord[], style: Output['style']): string {
  const abroad = records.some(({ peer }) => typeof peer === 'string');
  const rows = records.map(({ recorded_at, outcome, action, principal, resource, service, peer, correlation_id: correlation }) => [
    recorded_at, outcome, action, principal?.principal_id ?? '–', resource === null || resource === undefined ? '–' : `${resource.type} ${resource.id}`, service, ...(abroad ? [peer ?? '–'] : []), correlation ?? '–',
  ]);
  return table(style, ['AT', 'OUTCOME', 'ACTION', 'PRINCIPAL', 'RESOURCE', 'SERVICE', ...(abroad ? ['PEER'] : []), 'CORRELATION'], rows, 'There is no such record.');
}

async function exportTrail({ output, signal }: CommandContext, settings: Settings, options: OptionValues): Promise<ExitCode> {
  const { headers, query } = request(settings, options);
  const path = `/v1/audit:export?${query}`;
  const answer = await fetch(`${baseUrl(settings, 'agent-orchestrator')}${path}`, { headers, signal }).catch((cause: unknown) => {
    throw new CliError('agent-orchestrator does not answer', { exitCode: EXIT.dependency, next: 'agentos up', cause });
  });
  if (answer.status !== 200) expectStatus({ status: answer.status, headers: Object.fromEntries(answer.headers), text: '', body: (await answer.json()) as Record<string, unknown> }, [200], 'the audit trail cannot be exported');
  const file = text(options['to']);
  let [records, last] = [0, ''];
  const counted = async function* (source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    for await (const chunk of source) {
      for (const byte of chunk) if (byte === 0x0a) records += 1;
      last = String.fromCharCode(chunk.at(-1) ?? 0x0a);
      yield chunk;
    }
  };
  await pipeline(Readable.fromWeb(answer.body as import('node:stream/web').ReadableStream), counted, file === undefined ? process.stdout : createWriteStream(file, { mode: 0o600 }), { end: file !== undefined });
  if (last !== '' && last !== '\n') throw new CliError('the export was cut off', { exitCode: EXIT.gate, evidence: [`${records} whole records came`], next: 'agentos audit export   (again)' });
  output.note(`${records} records.`);
  return EXIT.ok;
}

/** One's own trail with one's own credential; another tenant's as the operator of the node, which is recorded there. */
function request(settings: Settings, options: OptionValues): { readonly headers: Readonly<Record<string, string>>; readonly query: URLSearchParams } {
  const tenant = text(options['tenant']);
  // In prod `up` makes the operator's key alone, and there is no default tenant.
  const own = settings.mode === 'prod' ? tenant === undefined : tenant === undefined || tenant === settings.defaultTenant;
  const role = own && settings.mode !== 'prod' ? 'tenant' : 'platform';
  const key = credential(settings, role);
  const query = new URLSearchParams();
  for (const [option, member] of Object.entries(FILTERS)) {
    const value = text(options[option]);
    if (value !== undefined) query.set(member, value);
  }
  const since = text(options['since']);
  if (since !== undefined) {
    const moment = parseSince(since);
    if (moment === null) throw new CliError(`--since cannot be "${since}"`, { exitCode: EXIT.usage, next: '--since 10m   (or --since 2025-01-31T12:00:00Z)' });
    query.set('from', moment.toISOString());
  }
  if (!own) query.set('tenant_id', tenant!);
  return { headers: key === null ? demoHeaders(role, settings.defaultTenant) : { authorization: `Bearer ${key}` }, query };
}
