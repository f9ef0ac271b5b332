/** What `agentos audit verify` checks: the log in the node's database, or an export of it, against what was signed. */
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { publishAuditKeys, readAuditPublicKeys, rotateAuditKey } from '../../services/platform/audit/audit-key.ts';
import { PostgresAudit } from '../../services/platform/audit/audit-postgres.ts';
import { parseExportLine } from '../../services/platform/audit/audit-record.ts';
import { readCheckpoints, type CheckpointsRead } from '../../services/platform/audit/checkpoint.ts';
import type { ChainedRecord, ChainName } from '../../services/platform/audit/chain.ts';
import { auditFiles, type AuditFiles } from '../../services/platform/audit/configured-audit.ts';
import { partsOf } from '../../services/platform/audit/file-parts.ts';
import { verifyLog, type LogReport } from '../../services/platform/audit/verify-log.ts';
import { verifyChain, type ChainFault } from '../../services/platform/audit/verify.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import { CliError, EXIT } from './errors.ts';
import { postgresStatus } from './postgres/index.ts';
import type { Settings } from './settings.ts';

export interface CheckpointFlags {
  readonly key?: string | undefined;
  readonly checkpoints?: string | undefined;
}

/** Where this node's checkpoints and their key are; flags name others, for an auditor on another machine. */
function checkpointFiles(settings: Settings, flags: CheckpointFlags): { readonly key: string; readonly checkpoints: string } {
  const files = ownFiles(settings);
  const publicKey = flags.checkpoints === undefined ? files.publicKeyFile : path.join(path.dirname(flags.checkpoints), path.basename(files.publicKeyFile));
  return { key: flags.key ?? (existsSync(files.keyFile) ? files.keyFile : publicKey), checkpoints: flags.checkpoints ?? files.checkpoints };
}

function ownFiles({ config: { values, sources }, home }: Settings): AuditFiles {
  return auditFiles({ values: { ...values, AGENTOS_DATA_DIR: home }, sources: { ...sources, AGENTOS_DATA_DIR: 'environment' } })!;
}

export function rotateCheckpointKey(settings: Settings): { readonly key_id: string; readonly file: string } {
  const { keyFile, publicKeyFile } = ownFiles(settings);
  const keyId = rotateAuditKey(keyFile);
  publishAuditKeys(keyFile, publicKeyFile);
  return { key_id: keyId, file: keyFile };
}

/** null: nothing was signed here, so a log that was rewritten as a whole cannot be told from the true one. */
export function loadCheckpoints(settings: Settings, flags: CheckpointFlags): CheckpointsRead | null {
  const files = checkpointFiles(settings, flags);
  const parts = partsOf(files.checkpoints);
  if (parts.length === 0) {
    if (flags.checkpoints === undefined) return null;
    throw new CliError(`there are no checkpoints in ${files.checkpoints}`, { exitCode: EXIT.usage, next: 'name the file that the node writes (AGENTOS_AUDIT_CHECKPOINTS)' });
  }
  if (!existsSync(files.key)) throw new CliError('the key of the checkpoints is not at hand', { exitCode: EXIT.configuration, evidence: [`${files.key} does not exist`], next: 'agentos audit verify --key <audit-key.pub.pem of the node>' });
  const keys = readAuditPublicKeys(files.key);
  const read = parts.map((part) => readCheckpoints(readFileSync(part, 'utf8'), keys, path.basename(part)));
  return { good: read.flatMap(({ good }) => good), bad: read.flatMap(({ bad }) => bad) };
}

export async function verifyDatabase(settings: Settings, tenantId: string | null, checkpoints: CheckpointsRead | null): Promise<LogReport> {
  const url = settings.databaseUrl ?? postgresStatus(settings.home)?.url;
  if (url === undefined) throw new CliError('the database of this node does not run', { exitCode: EXIT.dependency, evidence: [settings.home], next: 'agentos up   (or DATABASE_URL=… agentos audit verify)' });
  const database = await createDatabase({ url, applicationName: 'agentos-audit-verify', max: 2, statementTimeoutMs: 60_000 });
  try {
    return await verifyLog(new PostgresAudit(database.pool), { tenantId, checkpoints: checkpoints ?? { good: [], bad: [] } });
  } finally {
    await database.close();
  }
}

/** @param filtered the export was made with filters, so that gaps say nothing. */
export async function verifyExport(file: string, checkpoints: CheckpointsRead | null, filtered: boolean): Promise<LogReport> {
  const chains = new Map<string, { readonly name: ChainName; readonly records: ChainedRecord[] }>();
  const faults: ChainFault[] = [];
  for await (const { part, number, line } of linesOf(file)) {
    const parsed = parseExportLine(line);
    if (parsed === null) {
      faults.push({ tenantId: '', service: '', sequence: null, kind: 'edited', detail: `Line ${number} of ${part} is no record of an export.` });
      continue;
    }
    const key = JSON.stringify(parsed.name);
    const chain = chains.get(key) ?? { name: parsed.name, records: [] };
    chains.set(key, chain);
    chain.records.push(parsed.record);
  }
  const reports = await Promise.all([...chains.values()].map(({ name, records }) => {
    const own = checkpoints?.good.filter(({ tenantId, service }) => tenantId === name.tenantId && service === name.service) ?? [];
    return verifyChain({ name, records, checkpoints: own, part: filtered ? 'filtered' : 'range' });
  }));
  return { chains: reports, faults: [...faults, ...reports.flatMap((report) => report.faults)] };
}

/** What is no fault and yet says less than it seems to. @param exported the records came from a file, which may be of any time. */
export function remarksOf({ chains }: LogReport, checkpoints: CheckpointsRead | null, exported: boolean): readonly string[] {
  if (checkpoints === null) return ['No checkpoint is signed yet: until one is (a running node signs every ten seconds), a log that was rewritten as a whole would not be noticed.'];
  const nameOf = ({ tenantId, service }: ChainName): string => `${tenantId} ${service}`;
  const unsigned = chains.filter(({ checkpoint, records }) => checkpoint === null && records > 0);
  const short = exported ? chains.filter(({ checkpoint, sequence }) => checkpoint !== null && checkpoint > sequence) : [];
  return [
    ...(unsigned.length === 0 ? [] : [`No checkpoint attests ${unsigned.slice(0, 5).map(nameOf).join(', ')}${unsigned.length > 5 ? ` and ${unsigned.length - 5} more` : ''}: rewritten as a whole, ${unsigned.length === 1 ? 'it' : 'they'} would look the same.`]),
    ...short.map((chain) => `The export ends at record ${chain.sequence} of ${nameOf(chain)}, and ${chain.checkpoint} were signed: it was made before them, up to a time, or cut off.`),
  ];
}

/** Of the file and of the parts that were set aside from it, as a mirror's are. */
async function* linesOf(file: string): AsyncIterable<{ readonly part: string; readonly number: number; readonly line: string }> {
  const parts = partsOf(file);
  for (const part of parts.length === 0 ? [file] : parts) {
    let number = 0;
    for await (const line of createInterface({ input: createReadStream(part), crlfDelay: Infinity })) {
      number += 1;
      if (line !== '') yield { part, number, line };
    }
  }
}
