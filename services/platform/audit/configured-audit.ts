/** The audit log of a service as configured: signed checkpoints, mirrors, and the writer for what has no transaction. */
import { dirname, join, resolve } from 'node:path';
import type { Logger } from 'pino';
import { Counter } from 'prom-client';
import type { Config } from '../config/load.ts';
import type { Refusal } from '../http/refusal.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { DirectoryPort } from '../tenancy/directory.ts';
import type { AuditPort } from './audit.ts';
import { openAuditKey, publishAuditKeys } from './audit-key.ts';
import { AuditTrail, type AuditFollower } from './audit-trail.ts';
import { BackgroundAudit } from './background-audit.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import { AuditMirror, parseAuditSink } from './mirror.ts';
import { recordRefusals } from './refusals.ts';
import { recordSecretReads } from './secret-reads.ts';

export interface ServiceAudit {
  readonly trail: AuditTrail;
  /** For memory adapters, which chain by themselves. */
  readonly followers: readonly AuditFollower[];
  /** Once the store is open. What was recorded before is written now. Answers what `createServer` calls. */
  attach(audit: AuditPort, directory: Pick<DirectoryPort, 'getTenant' | 'getApiKey'>): { readonly onRefused: (refusal: Refusal) => void };
  /** Writes what waits and signs the last checkpoints; before the database is closed. */
  close(): Promise<void>;
}

export interface AuditFiles {
  readonly keyFile: string;
  readonly checkpoints: string;
  /** Of the public halves of the keys. */
  readonly publicKeyFile: string;
}

/** null: neither a key nor a folder for it is named, so nothing is signed; prod refuses that (`unsafe-settings.ts`). */
export function auditFiles({ values, sources }: Pick<Config, 'values' | 'sources'>): AuditFiles | null {
  const { AGENTOS_AUDIT_KEY_FILE: keyFile, AGENTOS_AUDIT_CHECKPOINTS: named, AGENTOS_DATA_DIR: folder } = values;
  if (keyFile === undefined && sources.AGENTOS_DATA_DIR === 'default') return null;
  const checkpoints = resolve(named ?? join(folder, 'audit', 'checkpoints.jsonl'));
  return { keyFile: resolve(keyFile ?? join(folder, 'secrets', 'audit-key.pem')), checkpoints, publicKeyFile: join(dirname(checkpoints), 'audit-key.pub.pem') };
}

/** @param durable false: records live in this process, and nobody could check them against a checkpoint later. @throws ConfigError. */
export function openServiceAudit(service: string, config: Pick<Config, 'values' | 'sources' | 'secrets'>, log: Logger, metrics: Metrics, durable = true): ServiceAudit {
  const omitted = new Counter({ name: 'agentos_audit_omitted_total', help: 'Refusals and secret reads that were not recorded, and lines left out of a mirror, because there were too many.', labelNames: ['what'] as const, registers: [metrics.registry] });
  // Shown at zero, so that the first one is an increase as well.
  for (const what of ['record', 'mirror'] as const) omitted.inc({ what }, 0);
  const mirrors = parseAuditSink(config.values.AGENTOS_AUDIT_SINK).map((target) => new AuditMirror(target, log, (lines) => omitted.inc({ what: 'mirror' }, lines), { bytes: config.values.AGENTOS_AUDIT_FILE_BYTES, parts: config.values.AGENTOS_AUDIT_MIRROR_PARTS }));
  const writer = durable ? openCheckpoints(config, log) : null;
  const followers = [...mirrors, ...(writer === null ? [] : [writer])];
  const onOmitted = (records: number): void => omitted.inc({ what: 'record' }, records);
  const background = new BackgroundAudit({ log, onOmitted });
  config.secrets.attach({ audit: recordSecretReads(service, background) });
  return {
    trail: new AuditTrail({ service, followers }),
    followers,
    attach(audit, directory) {
      background.attach(audit);
      return { onRefused: recordRefusals({ service, directory, background, onOmitted }) };
    },
    async close() {
      await background.close();
      await Promise.all([writer?.close(), ...mirrors.map((mirror) => mirror.close())]);
    },
  };
}

function openCheckpoints(config: Pick<Config, 'values' | 'sources'>, log: Logger): CheckpointWriter | null {
  const files = auditFiles(config);
  if (files === null) {
    log.info('The audit log is not signed: set AGENTOS_AUDIT_KEY_FILE and AGENTOS_AUDIT_CHECKPOINTS, or AGENTOS_DATA_DIR, so that a database that is rewritten would be noticed.');
    return null;
  }
  const key = openAuditKey(files.keyFile);
  publishAuditKeys(files.keyFile, files.publicKeyFile);
  return new CheckpointWriter({ key, path: files.checkpoints, log, fileBytes: config.values.AGENTOS_AUDIT_FILE_BYTES });
}
