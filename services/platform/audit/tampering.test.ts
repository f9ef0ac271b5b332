/**
 * What somebody with every right on the database can do to the log, and how it is found: in random chains, by every
 * kind of change, and in a real Postgres by its superuser with the triggers switched off.
 */
import { generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { AUDIT_SET } from '../../../conformance/harness/migrations.ts';
import { freshTenant } from '../../../conformance/ports/fixtures.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { createDatabase, type Database } from '../db/pool.ts';
import { PostgresAudit } from './audit-postgres.ts';
import { auditRow } from './audit-row.ts';
import { GENESIS_HASH, chainTexts, linkHash, type ChainedRecord } from './chain.ts';
import { checkpointLine, readCheckpoints, signCheckpoint, type Checkpoint } from './checkpoint.ts';
import { verifyChain, type ChainReport } from './verify.ts';
import { verifyLog } from './verify-log.ts';

const NAME = { tenantId: 'tnt_a', service: 'agent-orchestrator' };
const AT = '2026-01-01T00:00:00.000001Z';
const checkpointAt = ({ sequence, hash }: ChainedRecord): Checkpoint => ({ ...NAME, sequence, hash, at: '2026-01-01T00:00:10Z', signature: '' });

/** A chain of ten to thirty records with different texts, and a place in it that is not its last. */
const chains = fc.record({ texts: fc.array(fc.string({ maxLength: 40 }), { minLength: 10, maxLength: 30 }), place: fc.nat(), other: fc.nat(), batch: fc.integer({ min: 1, max: 7 }) }).map(({ texts, place, other, batch }) => {
  const records: ChainedRecord[] = [];
  for (let start = 0; start < texts.length; start += batch) {
    const last = records.at(-1);
    const moment = `2026-01-01T00:00:${String(start).padStart(2, '0')}.000000Z`;
    records.push(...chainTexts(NAME, last?.hash ?? GENESIS_HASH, last?.sequence ?? 0, moment, texts.slice(start, start + batch).map((text, index) => JSON.stringify({ audit_id: `aud_${start + index}`, text }))));
  }
  const one = place % (records.length - 1);
  return { records, one, two: (one + 1 + (other % (records.length - 1))) % records.length };
});

const judge = (records: readonly ChainedRecord[], whole: readonly ChainedRecord[], checkpoints: readonly Checkpoint[] = [], head = whole.at(-1)!): Promise<ChainReport> =>
  verifyChain({ name: NAME, records, head: { ...NAME, sequence: head.sequence, hash: head.hash }, checkpoints });

const rehash = (records: readonly ChainedRecord[], from: number): ChainedRecord[] => {
  const kept = records.slice(0, from);
  for (const record of records.slice(from)) {
    const last = kept.at(-1);
    const [previousHash, sequence] = [last?.hash ?? GENESIS_HASH, (last?.sequence ?? 0) + 1];
    kept.push({ ...record, previousHash, sequence, hash: linkHash(NAME, previousHash, sequence, record.recordedAt, record.text) });
  }
  return kept;
};

const always = <Value>(arbitrary: fc.Arbitrary<Value>, property: (value: Value) => Promise<void>): Promise<void> =>
  fc.assert(fc.asyncProperty(arbitrary, async (value) => void (await property(value))), { numRuns: 60 });

describe('any chain', () => {
  it('is found intact while nobody touches it, with checkpoints of any of its records', async () => {
    await always(chains, async ({ records, one, two }) => expect(await judge(records, records, [checkpointAt(records[one]!), checkpointAt(records[two]!)])).toMatchObject({ records: records.length, faults: [] }));
  });

  it('tells which record was edited', verifies(['PRS-4.3-14'], async () => {
    await always(chains, async ({ records, one }) => {
      const edited = records.with(one, { ...records[one]!, text: records[one]!.text.replace('aud_', 'aud_x') });
      expect((await judge(edited, records)).faults).toMatchObject([{ kind: 'edited', sequence: one + 1 }]);
    });
  }));

  it('tells which record was edited together with its own hash', async () => {
    await always(chains, async ({ records, one }) => {
      const { previousHash, sequence, recordedAt } = records[one]!;
      const edited = records.with(one, { ...records[one]!, text: '{}', hash: linkHash(NAME, previousHash, sequence, recordedAt, '{}') });
      expect((await judge(edited, records)).faults).toMatchObject([{ kind: 'edited', sequence: one + 1 }]);
    });
  });

  it('tells which records were deleted', async () => {
    await always(chains, async ({ records, one }) => {
      const left = records.toSpliced(one, 1);
      expect((await judge(left, records)).faults).toMatchObject([{ kind: 'missing', sequence: one + 1 }]);
    });
  });

  it('tells which two records changed places, whatever of them was moved', async () => {
    await always(chains, async ({ records, one, two }) => {
      const [a, b] = [records[one]!, records[two]!];
      for (const swapped of [
        records.with(one, { ...b, sequence: a.sequence }).with(two, { ...a, sequence: b.sequence }),
        records.with(one, { ...a, text: b.text }).with(two, { ...b, text: a.text }),
        records.with(one, { ...a, text: b.text, recordedAt: b.recordedAt, hash: b.hash }).with(two, { ...b, text: a.text, recordedAt: a.recordedAt, hash: a.hash }),
      ]) {
        const { faults } = await judge(swapped, records);
        expect(faults.filter(({ kind }) => kind === 'reordered').map(({ sequence }) => sequence)).toEqual([one + 1, two + 1].sort((x, y) => x - y));
      }
    });
  });

  it('tells where it was cut off, by its head or, where that was set back, by a checkpoint', async () => {
    await always(chains, async ({ records, one }) => {
      const cut = records.slice(0, one + 1);
      expect((await judge(cut, records)).faults).toMatchObject([{ kind: 'truncated', sequence: one + 2 }]);
      expect((await judge(cut, cut, [checkpointAt(records.at(-1)!)])).faults).toMatchObject([{ kind: 'truncated', sequence: one + 2 }]);
      expect((await verifyChain({ name: NAME, records: [], head: null, checkpoints: [checkpointAt(records[one]!)] })).faults).toMatchObject([{ kind: 'truncated', sequence: 1 }]);
    });
  });

  it('that was rewritten from somewhere on, head and all, contradicts its checkpoints', async () => {
    await always(chains, async ({ records, one }) => {
      const edited = rehash(records.with(one, { ...records[one]!, text: '{"rewritten":true}' }), one);
      expect((await judge(edited, edited)).faults, 'sound in itself').toEqual([]);
      expect((await judge(edited, edited, [checkpointAt(records.at(-1)!)])).faults).toMatchObject([{ kind: 'checkpoint_mismatch', sequence: records.length }]);
      const without = rehash(records.toSpliced(one, 1), one);
      expect((await judge(without, without, [checkpointAt(records.at(-1)!)])).faults).toMatchObject([{ kind: 'truncated' }]);
    });
  });

  it('is not taken for another', async () => {
    await always(chains, async ({ records }) => expect((await verifyChain({ name: { ...NAME, tenantId: 'tnt_b' }, records })).faults.length).toBeGreaterThan(0));
  });
});

describe('a checkpoint', () => {
  it('that nobody signed is told and not believed', async () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const { privateKey: theirs } = generateKeyPairSync('ed25519');
    const unsigned = { ...NAME, sequence: 3, hash: 'a'.repeat(64), at: AT };
    const lines = [checkpointLine(await signCheckpoint(privateKey, unsigned)), checkpointLine(await signCheckpoint(theirs, unsigned)), checkpointLine({ ...(await signCheckpoint(privateKey, unsigned)), sequence: 4 }), 'nonsense\n', '{"half'];
    const { good, bad } = readCheckpoints(lines.join(''), [privateKey]);
    expect(good.map(({ sequence }) => sequence)).toEqual([3]);
    expect(bad.map(({ line }) => line), 'a last line without its end was being written').toEqual([2, 3, 4]);
  });
});

describe('in Postgres, by its superuser', () => {
  let test: TestDatabase;
  let database: Database;
  let audit: PostgresAudit;
  const { privateKey } = generateKeyPairSync('ed25519');
  beforeAll(async () => {
    test = await testDatabase({ migrations: [AUDIT_SET] });
    database = await createDatabase({ url: test.url, applicationName: 'suite' });
    audit = new PostgresAudit(database.pool);
  });
  afterAll(async () => {
    await database?.close();
    await test?.drop();
  });

  async function filled(): Promise<{ readonly tenantId: string; readonly checkpoint: Checkpoint }> {
    const auth = freshTenant('tampered');
    for (let index = 0; index < 12; index += 1) await audit.append(auth, [auditRow('agent-orchestrator', auth, { action: 'run.create', resource: { type: 'run', id: `run_${index}` } })]);
    const [head] = await audit.heads(auth.tenant_id);
    return { tenantId: auth.tenant_id, checkpoint: await signCheckpoint(privateKey, { ...head!, at: new Date().toISOString() }) };
  }

  const asOwner = (work: (client: pg.Client) => Promise<unknown>): Promise<unknown> =>
    test.asSuperuser(async (client) => {
      await client.query("SET session_replication_role = 'replica'");
      await work(client);
    });

  async function faults(tenantId: string, checkpoints: readonly Checkpoint[] = []): Promise<readonly { kind: string; sequence: number | null }[]> {
    const { faults: found } = await verifyLog(audit, { tenantId, checkpoints: { good: checkpoints, bad: [] } });
    return found.map(({ kind, sequence }) => ({ kind, sequence }));
  }

  it('refuses every change while its triggers stand, also from the owner', async () => {
    const { tenantId } = await filled();
    for (const statement of ["UPDATE audit.records SET entry = '{}'", 'DELETE FROM audit.records', 'TRUNCATE audit.records', 'DELETE FROM audit.heads', 'TRUNCATE audit.heads', 'UPDATE audit.heads SET sequence = sequence - 1']) {
      await expect(test.asSuperuser((client) => client.query(statement)), statement).rejects.toThrow(/append-only/);
    }
    for (const statement of ['INSERT INTO audit.records SELECT * FROM audit.records', "UPDATE audit.records SET entry = '{}'", 'DELETE FROM audit.records', 'UPDATE audit.heads SET sequence = 99']) {
      await expect(database.pool.query(statement), statement).rejects.toThrow(/permission denied/);
    }
    expect(await faults(tenantId)).toEqual([]);
  });

  it('takes nothing into the chain of a tenant that the transaction does not act for', async () => {
    const [{ tenantId }, { tenantId: other }] = [await filled(), await filled()];
    const rows = JSON.stringify([{ tenant_id: other, service: 'agent-orchestrator', entry: { audit_id: 'aud_forged' } }]);
    const append = (open: string) => database.pool.query(`${open}; SELECT * FROM audit.append('${rows}'::json)`).finally(() => database.pool.query('ROLLBACK'));
    for (const open of ['BEGIN', `BEGIN; SET LOCAL app.tenant_ids = '${tenantId}'`, "BEGIN; SET LOCAL app.platform = 'on'", "BEGIN; SET LOCAL app.scheduler = 'on'", "BEGIN; SET LOCAL app.tenant_ids = ''"]) {
      await expect(append(open), open).rejects.toThrow(new RegExp(`does not act for tenant ${other}`));
    }
    expect((await audit.heads(other)).map(({ sequence }) => sequence)).toEqual([12]);
  });

  it('finds an edit, a deletion, a reorder and a truncation, and says where', verifies(['PRS-4.3-14'], async () => {
    const cases: readonly (readonly [string, (client: pg.Client, tenantId: string) => Promise<unknown>, readonly object[]])[] = [
      ['edit', (client, tenantId) => client.query(`UPDATE audit.records SET entry = replace(entry::text, 'run_4', 'run_x')::json WHERE tenant_id = $1 AND sequence = 5`, [tenantId]), [{ kind: 'edited', sequence: 5 }]],
      ['time', (client, tenantId) => client.query(`UPDATE audit.records SET recorded_at = recorded_at - interval '1 day' WHERE tenant_id = $1 AND sequence = 7`, [tenantId]), [{ kind: 'edited', sequence: 7 }]],
      ['deletion', (client, tenantId) => client.query('DELETE FROM audit.records WHERE tenant_id = $1 AND sequence IN (3, 4)', [tenantId]), [{ kind: 'missing', sequence: 3 }]],
      ['reorder', (client, tenantId) => client.query('UPDATE audit.records SET sequence = CASE sequence WHEN 2 THEN 1009 ELSE 2 END WHERE tenant_id = $1 AND sequence IN (2, 9)', [tenantId])
        .catch(async () => {
          await client.query('UPDATE audit.records SET sequence = 1009 WHERE tenant_id = $1 AND sequence = 2', [tenantId]);
          await client.query('UPDATE audit.records SET sequence = 2 WHERE tenant_id = $1 AND sequence = 9', [tenantId]);
        }).then(() => client.query('UPDATE audit.records SET sequence = 9 WHERE tenant_id = $1 AND sequence = 1009', [tenantId])), [{ kind: 'reordered', sequence: 2 }, { kind: 'reordered', sequence: 9 }]],
      ['truncation', (client, tenantId) => client.query('DELETE FROM audit.records WHERE tenant_id = $1 AND sequence > 8', [tenantId]), [{ kind: 'truncated', sequence: 9 }]],
    ];
    for (const [name, damage, expected] of cases) {
      const { tenantId } = await filled();
      await asOwner((client) => damage(client, tenantId));
      expect(await faults(tenantId), name).toEqual(expected);
    }
  }));

  it('finds by its checkpoints what was cut off together with the head, and a chain that is gone', async () => {
    const { tenantId, checkpoint } = await filled();
    await asOwner(async (client) => {
      await client.query('DELETE FROM audit.records WHERE tenant_id = $1 AND sequence > 6', [tenantId]);
      await client.query('UPDATE audit.heads h SET (sequence, hash) = (SELECT r.sequence, r.hash FROM audit.records r WHERE r.tenant_id = h.tenant_id AND r.sequence = 6) WHERE h.tenant_id = $1', [tenantId]);
    });
    expect(await faults(tenantId), 'without a checkpoint nobody can know').toEqual([]);
    expect(await faults(tenantId, [checkpoint])).toEqual([{ kind: 'truncated', sequence: 7 }]);
    await asOwner((client) => client.query('WITH r AS (DELETE FROM audit.records WHERE tenant_id = $1) DELETE FROM audit.heads WHERE tenant_id = $1', [tenantId]));
    expect(await faults(tenantId, [checkpoint])).toEqual([{ kind: 'truncated', sequence: 1 }]);
  });

  it('finds what was rewritten and chained anew, once a checkpoint was signed before', async () => {
    const { tenantId, checkpoint } = await filled();
    await asOwner(async (client) => {
      const { rows } = await client.query<{ sequence: string; text: string; at: string; previous: string }>(`SELECT sequence, entry::text AS text, to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, encode(previous_hash, 'hex') AS previous FROM audit.records WHERE tenant_id = $1 ORDER BY sequence`, [tenantId]);
      let link = rows[0]!.previous;
      for (const { sequence, text, at } of rows) {
        const forged = text.replace('run_3', 'run_forged');
        const hash = linkHash({ tenantId, service: 'agent-orchestrator' }, link, Number(sequence), at, forged);
        await client.query(`UPDATE audit.records SET entry = $3::json, previous_hash = decode($4, 'hex'), hash = decode($5, 'hex') WHERE tenant_id = $1 AND sequence = $2`, [tenantId, sequence, forged, link, hash]);
        link = hash;
      }
      await client.query(`UPDATE audit.heads SET hash = decode($2, 'hex') WHERE tenant_id = $1`, [tenantId, link]);
    });
    expect(await faults(tenantId)).toEqual([]);
    expect(await faults(tenantId, [checkpoint])).toEqual([{ kind: 'checkpoint_mismatch', sequence: 12 }]);
  });

  it('finds nothing while the log grows under the check', async () => {
    const { tenantId } = await filled();
    const auth = { ...freshTenant(), tenant_id: tenantId };
    let growing = true;
    const grower = (async () => {
      while (growing) {
        await audit.append(auth, [auditRow('agent-orchestrator', auth, { action: 'run.create' })]);
        await sleep(1);
      }
    })();
    for (let round = 0; round < 5; round += 1) expect(await faults(tenantId)).toEqual([]);
    growing = false;
    await grower;
  });
});
