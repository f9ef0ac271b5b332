/** Who follows the log: checkpoints, mirrors; and what is written beside transactions: refusals, reads of secrets. */
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { freshTenant } from '../../../conformance/ports/fixtures.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { ConfigError, loadConfig } from '../config/load.ts';
import { AgentOsError } from '../errors.ts';
import type { Refusal } from '../http/refusal.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { MemoryAudit } from './audit-memory.ts';
import { openAuditKey, publishAuditKeys, readAuditPublicKeys, rotateAuditKey } from './audit-key.ts';
import { auditRow, PLATFORM_TENANT } from './audit-row.ts';
import { parseExportLine } from './audit-record.ts';
import type { AuditRecord } from './audit.ts';
import { BackgroundAudit } from './background-audit.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import { checkpointKeyId, checkpointLine, readCheckpoints, signCheckpoint } from './checkpoint.ts';
import { openServiceAudit } from './configured-audit.ts';
import { partsOf } from './file-parts.ts';
import { AuditMirror, parseAuditSink } from './mirror.ts';
import { recorded } from './recorded.ts';
import { recordRefusals } from './refusals.ts';
import { recordSecretReads } from './secret-reads.ts';
import { verifyChain } from './verify.ts';

const log = pino({ level: 'silent' });
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'agentos-audit-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const some = (auth: AuthContext, count = 1) => Array.from({ length: count }, () => auditRow('agent-orchestrator', auth, { action: 'run.create' }));
const recordsOf = async (audit: MemoryAudit, tenantId: string): Promise<AuditRecord[]> => [...(await audit.list({ ...freshTenant(), tenant_id: tenantId }, { limit: 1_000 })).records].reverse();

describe('the key', () => {
  it('is made once, readable by its owner alone, and refused where others can read it', () => {
    const path = join(folder, 'made', 'key.pem');
    const [one, two] = [openAuditKey(path), openAuditKey(path)];
    expect(one.equals(two)).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    chmodSync(path, 0o644);
    expect(() => openAuditKey(path)).toThrow(/chmod 600/);
    const mounted = join(folder, '..2026_11_21_12_00_00.123456789', 'key.pem');
    openAuditKey(mounted);
    chmodSync(mounted, 0o644);
    expect(openAuditKey(mounted).asymmetricKeyType, 'as Kubernetes mounts it').toBe('ed25519');
    writeFileSync(join(folder, 'nonsense.pem'), 'nonsense', { mode: 0o600 });
    expect(() => openAuditKey(join(folder, 'nonsense.pem'))).toThrow(ConfigError);
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(join(folder, 'rsa.pem'), rsa, { mode: 0o600 });
    expect(() => openAuditKey(join(folder, 'rsa.pem'))).toThrow(/rsa; checkpoints are signed with ed25519/);
    for (const name of ['nonsense.pem', 'rsa.pem']) expect(() => readAuditPublicKeys(join(folder, name))).toThrow(ConfigError);
  });

  it('is replaced, and what the earlier ones signed stays good', async () => {
    const [path, published] = [join(folder, 'rotated', 'key.pem'), join(folder, 'rotated', 'key.pub.pem')];
    const line = async (sequence: number): Promise<string> => checkpointLine(await signCheckpoint(openAuditKey(path), { tenantId: 't', service: 's', sequence, hash: 'h', at: new Date().toISOString() }));
    const lines = [await line(1)];
    publishAuditKeys(path, published);
    const [first, second] = [checkpointKeyId(openAuditKey(path)), rotateAuditKey(path)];
    lines.push(await line(2));
    const last = rotateAuditKey(path);
    lines.push(await line(3));
    publishAuditKeys(path, published);
    expect(new Set([first, second, last]).size).toBe(3);
    expect(checkpointKeyId(openAuditKey(path))).toBe(last);
    for (const file of [path, published]) {
      expect(readAuditPublicKeys(file).map(checkpointKeyId)).toEqual([last, second, first]);
      expect(readCheckpoints(lines.join(''), readAuditPublicKeys(file))).toMatchObject({ bad: [], good: [{ sequence: 1, keyId: first }, { sequence: 2, keyId: second }, { sequence: 3, keyId: last }] });
    }
    expect([statSync(path).mode & 0o777, readFileSync(path, 'utf8').match(/PRIVATE KEY-----\n[^-]/g)?.length], 'the earlier ones cannot sign any more').toEqual([0o600, 1]);
    expect(readCheckpoints(lines.join(''), [openAuditKey(path)]).bad).toMatchObject([{ line: 1, unknownKeyId: first }, { line: 2, unknownKeyId: second }]);
    const [earlier] = lines.map((text) => text.replace(/"kid":"[0-9a-f]+",/, ''));
    expect(readCheckpoints(earlier!, readAuditPublicKeys(path)).good, 'a line of a release that named no keys').toHaveLength(1);
    expect(readCheckpoints(lines[0]!.replace(first, last), readAuditPublicKeys(path)).bad, 'a line that names another key').toMatchObject([{ line: 1, unknownKeyId: null }]);
    // A file that was replaced as a whole: auditors still have what was published.
    rmSync(path);
    const fresh = checkpointKeyId(openAuditKey(path));
    publishAuditKeys(path, published);
    expect(readAuditPublicKeys(published).map(checkpointKeyId)).toEqual([fresh, last, second, first]);
  });
});

describe('checkpoints', () => {
  it('attest each chain that moved, at the end and after so many records, in a file that only grows', async () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const path = join(folder, 'deep', 'checkpoints.jsonl');
    const writer = new CheckpointWriter({ key: privateKey, path, log, intervalMs: 3_600_000, records: 5 });
    const audit = new MemoryAudit([writer]);
    const [one, two] = [freshTenant(), freshTenant()];
    audit.add(...some(one, 2), ...some(two, 1));
    expect(existsSync(path), 'nothing is due yet').toBe(false);
    audit.add(...some(one, 4));
    await expect.poll(() => existsSync(path)).toBe(true);
    await writer.write();
    await writer.write();
    audit.add(...some(one, 1));
    await writer.close();
    const { good, bad } = readCheckpoints(readFileSync(path, 'utf8'), [privateKey]);
    expect(bad).toEqual([]);
    expect(good.map(({ tenantId, sequence }) => [tenantId === one.tenant_id ? 'one' : 'two', sequence])).toEqual([['one', 6], ['two', 1], ['one', 7]]);
    const [head] = await audit.heads(one.tenant_id);
    expect(await verifyChain({ name: head!, head: head!, records: audit.chain(head!), checkpoints: good.filter(({ tenantId }) => tenantId === one.tenant_id) })).toMatchObject({ faults: [], checkpoint: 7 });
  });

  it('are tried again when they could not be written', async () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    writeFileSync(join(folder, 'a-file'), '');
    const path = join(folder, 'a-file', 'checkpoints.jsonl');
    const writer = new CheckpointWriter({ key: privateKey, path, log, intervalMs: 3_600_000 });
    new MemoryAudit([writer]).add(...some(freshTenant()));
    await writer.write();
    await rm(join(folder, 'a-file'));
    await writer.close();
    expect(readCheckpoints(readFileSync(path, 'utf8'), [privateKey]).good).toHaveLength(1);
  });
});

describe('files that became large', () => {
  it('of checkpoints are set aside by whoever comes first, and every part is read', async () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const path = join(folder, 'parts', 'checkpoints.jsonl');
    const writers = [1, 2].map(() => new CheckpointWriter({ key: privateKey, path, log, intervalMs: 3_600_000, fileBytes: 600 }));
    const audits = writers.map((writer) => new MemoryAudit([writer]));
    const auth = freshTenant();
    for (let round = 0; round < 12; round += 1) {
      for (const audit of audits) audit.add(...some(auth));
      await Promise.all(writers.map((writer) => writer.write()));
    }
    await Promise.all(writers.map((writer) => writer.close()));
    const parts = partsOf(path);
    expect(parts.length).toBeGreaterThan(3);
    expect(parts.at(-1)).toBe(path);
    for (const part of parts) expect(statSync(part).size).toBeLessThan(600 + 2 * 400);
    const read = parts.map((part) => readCheckpoints(readFileSync(part, 'utf8'), [privateKey], part));
    expect(read.flatMap(({ bad }) => bad)).toEqual([]);
    expect(read.flatMap(({ good }) => good.map(({ sequence }) => sequence)).sort((a, b) => a - b)).toEqual(Array.from({ length: 24 }, (_, index) => Math.floor(index / 2) + 1));
  });

  it('of a mirror are set aside, the oldest deleted, and one that somebody else moved is opened anew', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const path = join(folder, 'parts', 'mirror.jsonl');
    const mirror = new AuditMirror({ kind: 'file', path }, log, undefined, { bytes: 1_000, parts: 2 });
    const audit = new MemoryAudit([mirror]);
    const auth = freshTenant();
    const write = async (): Promise<void> => {
      // Beyond the limit each time, so the next one begins a new part.
      audit.add(...some(auth, 4));
      await expect.poll(() => statSync(path, { throwIfNoEntry: false })?.size ?? 0).toBeGreaterThan(1_000);
      vi.advanceTimersByTime(1_001);
    };
    for (let round = 0; round < 6; round += 1) await write();
    expect(partsOf(path)).toHaveLength(3);
    await write();
    renameSync(path, join(folder, 'moved.jsonl'));
    await write();
    await mirror.close();
    const lines = [...partsOf(path).slice(0, -1), join(folder, 'moved.jsonl'), path].flatMap((part) => readFileSync(part, 'utf8').trimEnd().split('\n').map((line) => parseExportLine(line)!));
    expect(lines.at(-1)!.record.sequence).toBe(32);
    expect(await verifyChain({ name: lines[0]!.name, records: lines.map(({ record }) => record), part: 'range' }), 'no line between them is missing').toMatchObject({ faults: [], records: lines.length });
  });
});

describe('the mirror', () => {
  it('writes each record as one line that can be verified', verifies(['RM-06'], async () => {
    const path = join(folder, 'mirror.jsonl');
    const mirror = new AuditMirror({ kind: 'file', path }, log);
    const audit = new MemoryAudit([mirror]);
    const auth = freshTenant();
    audit.add(...some(auth, 3));
    audit.add(...some(auth, 2));
    await mirror.close();
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n').map((line) => parseExportLine(line)!);
    expect(await verifyChain({ name: lines[0]!.name, records: lines.map(({ record }) => record) })).toMatchObject({ records: 5, faults: [] });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  }));

  it.each(['stdout', 'stderr'] as const)('writes to %s', verifies(['RM-06'], (target: 'stdout' | 'stderr') => {
    const written: string[] = [];
    const original = process[target].write.bind(process[target]);
    process[target].write = ((chunk: string) => written.push(chunk) > 0) as never;
    onTestFinished(() => void (process[target].write = original));
    new MemoryAudit([new AuditMirror({ kind: target }, log)]).add(...some(freshTenant()));
    process[target].write = original;
    expect(JSON.parse(written.join(''))).toMatchObject({ action: 'run.create', sequence: 1 });
  }));

  it('is named by AGENTOS_AUDIT_SINK; anything else is refused', verifies(['RM-06'], () => {
    expect(parseAuditSink('postgres, stdout ,file:/var/log/audit.jsonl,stderr')).toEqual([{ kind: 'stdout' }, { kind: 'file', path: '/var/log/audit.jsonl' }, { kind: 'stderr' }]);
    expect(parseAuditSink('postgres')).toEqual([]);
    expect(() => parseAuditSink('syslog')).toThrow(/names 'syslog'/);
    expect(() => parseAuditSink('file:')).toThrow(ConfigError);
  }));

  it('of a service, and its checkpoints, are opened from its configuration', verifies(['RM-06'], async () => {
    const config = loadConfig({ env: { AGENTOS_AUDIT_SINK: `file:${join(folder, 'sink.jsonl')}`, AGENTOS_DATA_DIR: join(folder, 'home') }, envFile: null });
    const service = openServiceAudit('agent-orchestrator', config, log, createMetrics({ service: 'agent-orchestrator', process: false }));
    const audit = new MemoryAudit(service.followers);
    audit.add(...some(freshTenant()));
    await service.close();
    expect(readFileSync(join(folder, 'sink.jsonl'), 'utf8')).toContain('run.create');
    expect(readCheckpoints(readFileSync(join(folder, 'home', 'audit', 'checkpoints.jsonl'), 'utf8'), [openAuditKey(join(folder, 'home', 'secrets', 'audit-key.pem'))]).good).toHaveLength(1);
    expect(readFileSync(join(folder, 'home', 'audit', 'audit-key.pub.pem'), 'utf8')).toContain('PUBLIC KEY');
  }));
});

describe('beside transactions', () => {
  const directory = { getTenant: async (_auth: unknown, id: string) => (id.startsWith('tnt_known') ? ({ tenant_id: id } as never) : null), getApiKey: async () => null };
  const refusal = (tenantId: string, address: string, code = 'forbidden', operationId = 'createRun'): Refusal => ({
    status: 403, error: { code, message: 'no', retryable: false, details: { missing_scopes: ['runs:create'] } }, row: { operationId } as never,
    auth: { ...freshTenant(), tenant_id: tenantId }, exchange: { correlationId: 'corr_x', remoteAddress: address, headers: { authorization: 'Bearer secret-canary' } },
  });

  it('refusals are written in batches, so many a second of one caller at one address, and counted beyond that', async () => {
    let omitted = 0;
    const audit = new MemoryAudit();
    const background = new BackgroundAudit({ log, delayMs: 1 });
    background.attach(audit);
    const onRefused = recordRefusals({ service: 'agent-orchestrator', directory, background, perSecond: 5, onOmitted: (count) => (omitted += count) });
    for (let index = 0; index < 100; index += 1) onRefused(refusal('tnt_known_a', '192.0.2.1'));
    onRefused(refusal('tnt_known_a', '192.0.2.2'));
    onRefused(refusal('tnt_known_a', '192.0.2.3', 'policy_blocked'));
    await background.close();
    const records = await recordsOf(audit, 'tnt_known_a');
    // A second may turn in between.
    expect(records.length).toBeGreaterThanOrEqual(6);
    expect(records.length + omitted).toBe(101);
    expect(JSON.stringify(records)).not.toContain('canary');
  });

  it('nobody hides a refusal behind others: of strangers, of another caller, of another operation', async () => {
    const audit = new MemoryAudit();
    const background = new BackgroundAudit({ log, delayMs: 1 });
    background.attach(audit);
    const onRefused = recordRefusals({ service: 'agent-orchestrator', directory, background, perSecond: 5 });
    const presented = (key: string): Refusal => ({ ...refusal('tnt_known_a', '192.0.2.1', 'unauthorized'), status: 401, auth: null, exchange: { correlationId: 'corr_x', remoteAddress: '192.0.2.1', headers: { 'x-api-key': key } } });
    for (let index = 0; index < 100; index += 1) onRefused(presented('no key of ours'));
    for (let index = 10; index < 100; index += 1) onRefused(presented(`aos_live_${'0'.repeat(24)}${index}_${'a'.repeat(32)}`));
    for (let index = 0; index < 100; index += 1) onRefused(refusal('tnt_known_b', '192.0.2.1'));
    for (let index = 0; index < 100; index += 1) onRefused(refusal('tnt_known_a', '192.0.2.1'));
    onRefused(refusal('tnt_known_a', '192.0.2.1', 'forbidden', 'listKeys'));
    await background.close();
    expect((await recordsOf(audit, 'tnt_known_a')).map(({ operation }) => operation)).toEqual(expect.arrayContaining(['createRun', 'listKeys']));
    expect((await recordsOf(audit, 'tnt_known_b')).length).toBeGreaterThanOrEqual(5);
  });

  it('refusals of tenants that there are not stand with the node', async () => {
    const audit = new MemoryAudit();
    const background = new BackgroundAudit({ log });
    background.attach(audit);
    recordRefusals({ service: 'agent-orchestrator', directory, background })(refusal('tnt_guess', '192.0.2.1', 'tenant_unknown'));
    await background.close();
    expect(await recordsOf(audit, 'tnt_guess')).toEqual([]);
    expect(await recordsOf(audit, PLATFORM_TENANT)).toMatchObject([{ details: { named_tenant_id: 'tnt_guess' } }]);
  });

  it('reads of secrets before the store is open are written once it is, without what was read', verifies(['PRS-10.2-03'], async () => {
    const audit = new MemoryAudit();
    const background = new BackgroundAudit({ log, delayMs: 1 });
    recordSecretReads('model-policy', background)({ name: 'OPENAI_API_KEY', adapter: 'vault', version: '3', outcome: 'allowed', changed: true, atMs: 1_700_000_000_000 });
    background.attach(audit);
    await background.close();
    expect(await recordsOf(audit, PLATFORM_TENANT)).toMatchObject([{ action: 'secret.read', service: 'model-policy', principal: null, resource: { type: 'secret', id: 'OPENAI_API_KEY' }, details: { adapter: 'vault', version: '3', read_at: '2023-11-14T22:13:20.000Z' } }]);
  }));

  it('a store that is away for a moment costs nothing: what could not be written is written when it is back, in order', async () => {
    let [failures, omitted] = [3, 0];
    const audit = new MemoryAudit();
    const auth = freshTenant();
    const background = new BackgroundAudit({ log, delayMs: 1, onOmitted: (count) => (omitted += count) });
    background.attach({ append: (...given: Parameters<MemoryAudit['append']>) => ((failures -= 1) >= 0 ? Promise.reject(new Error('away')) : audit.append(...given)) } as never);
    const rows = some(auth, 5);
    for (const row of rows) background.add(row);
    await expect.poll(async () => (await recordsOf(audit, auth.tenant_id)).map(({ audit_id: id }) => id), { timeout: 5_000 }).toEqual(rows.map(({ entry }) => entry.audit_id));
    await background.close();
    expect(omitted).toBe(0);
  });

  it('a store that is away until the end costs records, which are counted, and nothing else', async () => {
    let omitted = 0;
    const background = new BackgroundAudit({ log, delayMs: 1, maxWaiting: 3, onOmitted: (count) => (omitted += count) });
    for (const row of some(freshTenant(), 5)) background.add(row);
    expect(omitted).toBe(2);
    background.attach({ append: () => Promise.reject(new Error('away')) } as never);
    await background.close();
    expect(omitted).toBe(5);
  });

  it('a deed is recorded before it is done, and its failure behind it', async () => {
    const audit = new MemoryAudit();
    const auth = freshTenant();
    await expect(recorded({ audit, service: 's' }, auth, { action: 'a.b' }, () => Promise.reject(new AgentOsError('not_found', { message: 'no' })))).rejects.toThrow('no');
    expect((await recordsOf(audit, auth.tenant_id)).map(({ outcome, details }) => [outcome, details!['code']])).toEqual([['allowed', undefined], ['failed', 'not_found']]);
    let done = false;
    await expect(recorded({ audit: { append: () => Promise.reject(new Error('away')) }, service: 's' }, auth, { action: 'a.b' }, () => void (done = true))).rejects.toThrow('away');
    expect(done, 'what cannot be recorded is not done').toBe(false);
  });
});
