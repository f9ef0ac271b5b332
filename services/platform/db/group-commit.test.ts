import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { FlushRolledBackError, GroupCommit } from './group-commit.ts';
import { createDatabase, type Database } from './pool.ts';
import { tenantTable } from './tenant-table.ts';
import { withTenant } from './transaction.ts';

interface Gate {
  readonly flushes: number[][];
  readonly writer: GroupCommit<number, number>;
  open(): void;
}

/** A writer whose flushes wait until they are let through. */
function gated(options: { readonly lanes?: number; readonly maxBatch?: number; readonly maxWaiting?: number; readonly key?: (op: number) => string; readonly group?: (op: number) => string } = {}): Gate {
  const flushes: number[][] = [];
  let release: () => void = () => undefined;
  let gate = new Promise<void>((resolve) => (release = resolve));
  const writer = new GroupCommit<number, number>({
    ...options,
    flush: async (ops) => {
      flushes.push([...ops]);
      await gate;
      return ops.map((op) => op * 10);
    },
  });
  return {
    flushes,
    writer,
    open() {
      release();
      gate = Promise.resolve();
    },
  };
}

describe('gathering', () => {
  it('flushes a lone write at once and gathers what comes meanwhile', async () => {
    const { flushes, writer, open } = gated();
    const results = [1, 2, 3, 4].map((op) => writer.submit(op));
    expect(flushes).toEqual([[1]]);
    expect(writer.waiting).toBe(3);
    open();
    expect(await Promise.all(results)).toEqual([10, 20, 30, 40]);
    expect(flushes).toEqual([[1], [2, 3, 4]]);
  });

  it('fills no flush beyond its largest size', async () => {
    const { flushes, writer, open } = gated({ maxBatch: 3 });
    const results = Array.from({ length: 8 }, (_, op) => writer.submit(op));
    open();
    await Promise.all(results);
    expect(flushes.map((flush) => flush.length)).toEqual([1, 3, 3, 1]);
  });

  it('has as many flushes under way as lanes', async () => {
    const { flushes, writer, open } = gated({ lanes: 2 });
    const results = [1, 2, 3].map((op) => writer.submit(op));
    expect(flushes).toEqual([[1], [2]]);
    open();
    await Promise.all(results);
    expect(flushes).toHaveLength(3);
  });

  it('refuses what is more than may wait', async () => {
    const { writer, open } = gated({ maxWaiting: 2 });
    const results = [1, 2, 3].map((op) => writer.submit(op));
    await expect(writer.submit(4)).rejects.toThrow(/2 writes are waiting/);
    open();
    expect(await Promise.all(results)).toEqual([10, 20, 30]);
  });
});

describe('keys', () => {
  it('keeps equal keys in order and out of each other\'s flush', async () => {
    const { flushes, writer, open } = gated({ key: (op) => String(op % 10) });
    const results = [1, 11, 2, 21, 12, 3].map((op) => writer.submit(op));
    open();
    await Promise.all(results);
    expect(flushes[0]).toEqual([1]);
    expect(flushes[1]).toEqual([11, 2, 3]);
    expect(flushes[2]).toEqual([21, 12]);
  });

  it('keeps a key that is being flushed out of the other lanes', async () => {
    const { flushes, writer, open } = gated({ lanes: 4, key: (op) => String(op % 10) });
    const results = [1, 11, 21, 2].map((op) => writer.submit(op));
    expect(flushes).toEqual([[1], [2]]);
    open();
    await Promise.all(results);
    expect(flushes).toEqual([[1], [2], [11], [21]]);
  });

  it('holds order for every key under random load', async () => {
    const applied = new Map<number, number[]>();
    const writer = new GroupCommit<{ key: number; n: number }, void>({
      lanes: 3,
      maxBatch: 7,
      key: (op) => String(op.key),
      flush: async (ops) => {
        expect(new Set(ops.map((op) => op.key)).size).toBe(ops.length);
        await sleep(Math.random() * 2);
        for (const op of ops) applied.set(op.key, [...(applied.get(op.key) ?? []), op.n]);
        return ops.map(() => undefined);
      },
    });
    const all: Promise<void>[] = [];
    for (let n = 0; n < 400; n += 1) {
      all.push(writer.submit({ key: n % 9, n }));
      if (n % 17 === 0) await sleep(1);
    }
    await Promise.all(all);
    for (const [, order] of applied) expect(order).toEqual([...order].sort((a, b) => a - b));
    expect([...applied.values()].flat()).toHaveLength(400);
  });
});

describe('groups', () => {
  const group = (op: number): string => String(Math.floor(op / 10));

  it('keep out of each other\'s way while lanes are free, and each to one lane', async () => {
    const { flushes, writer, open } = gated({ lanes: 2, group });
    const results = [10, 11, 12, 20, 30].map((op) => writer.submit(op));
    expect(flushes, 'the second of group 1 waits, group 2 does not, group 3 finds no lane').toEqual([[10], [20]]);
    expect(writer.waiting).toBe(3);
    open();
    expect(await Promise.all(results)).toEqual([100, 110, 120, 200, 300]);
    expect(flushes.flat().filter((op) => group(op) === '1')).toEqual([10, 11, 12]);
  });

  it('take turns in a flush, however many each has waiting', async () => {
    const { flushes, writer, open } = gated({ maxBatch: 4, group });
    const results = [90, 10, 11, 12, 13, 14, 20, 21, 30].map((op) => writer.submit(op));
    open();
    await Promise.all(results);
    expect(flushes).toEqual([[90], [10, 20, 30, 11], [12, 21, 13, 14]]);
  });

  it('hold order for each and never share two flushes under random load', async () => {
    const under = new Set<number>();
    const applied: number[][] = Array.from({ length: 5 }, () => []);
    const writer = new GroupCommit<{ group: number; n: number }, void>({
      lanes: 3,
      maxBatch: 7,
      group: (op) => String(op.group),
      flush: async (ops) => {
        const groups = new Set(ops.map((op) => op.group));
        for (const one of groups) expect(under.has(one)).toBe(false);
        for (const one of groups) under.add(one);
        await sleep(Math.random() * 2);
        for (const op of ops) applied[op.group]!.push(op.n);
        for (const one of groups) under.delete(one);
        return ops.map(() => undefined);
      },
    });
    const all: Promise<void>[] = [];
    for (let n = 0; n < 400; n += 1) {
      all.push(writer.submit({ group: n % 5, n }));
      if (n % 17 === 0) await sleep(1);
    }
    await Promise.all(all);
    await writer.close();
    for (const order of applied) expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(applied.flat()).toHaveLength(400);
  });
});

describe('verdicts', () => {
  it('gives each write its own', async () => {
    const writer = new GroupCommit<number, number>({ flush: async (ops) => ops.map((op) => (op === 2 ? new Error('two') : op)) });
    const [one, two, three] = await Promise.allSettled([1, 2, 3].map((op) => writer.submit(op)));
    expect(one).toMatchObject({ status: 'fulfilled', value: 1 });
    expect(two).toMatchObject({ status: 'rejected', reason: { message: 'two' } });
    expect(three).toMatchObject({ status: 'fulfilled', value: 3 });
  });

  it('tries each alone when the flush was rolled back, so that one cannot fail its neighbours', async () => {
    const sizes: number[] = [];
    const writer = new GroupCommit<number, number>({
      flush: async (ops) => {
        sizes.push(ops.length);
        await sleep(1);
        if (ops.includes(3)) throw new FlushRolledBackError(new Error('poison'));
        return [...ops];
      },
    });
    const settled = await Promise.allSettled([1, 2, 3, 4].map((op) => writer.submit(op)));
    expect(settled.map((result) => result.status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    expect(settled[2]).toMatchObject({ reason: { message: 'poison' } });
    expect(sizes).toEqual([1, 3, 1, 1, 1]);
  });

  it('fails all of them, and repeats none, when nobody knows what was applied', async () => {
    const seen: number[] = [];
    const writer = new GroupCommit<number, number>({
      flush: async (ops) => {
        seen.push(...ops);
        await sleep(1);
        if (ops.length > 1) throw new Error('the connection broke');
        return [...ops];
      },
    });
    const settled = await Promise.allSettled([1, 2, 3].map((op) => writer.submit(op)));
    expect(settled.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'rejected']);
    expect(seen).toEqual([1, 2, 3]);
    expect(await writer.submit(9)).toBe(9);
  });

  it('does not trust a flush that answers too few', async () => {
    const writer = new GroupCommit<number, number>({ flush: async () => [] });
    await expect(writer.submit(1)).rejects.toThrow('A flush of 1 writes answered 0 verdicts');
  });
});

it('closes when everything accepted has its verdict, and takes nothing more', async () => {
  const { writer, open } = gated();
  const results = [1, 2, 3].map((op) => writer.submit(op));
  let closed = false;
  const closing = writer.close().then(() => (closed = true));
  await expect(writer.submit(4)).rejects.toThrow(/closed/);
  await sleep(5);
  expect(closed).toBe(false);
  open();
  expect(await Promise.all(results)).toEqual([10, 20, 30]);
  await closing;
});

it('reports sizes and times', async () => {
  const reports: number[] = [];
  const writer = new GroupCommit<number, number>({ flush: async (ops) => [...ops], onFlush: ({ size, failed }) => reports.push(failed ? -size : size) });
  await Promise.all([1, 2, 3].map((op) => writer.submit(op)));
  expect(reports).toEqual([1, 2]);
});

describe('on PostgreSQL', () => {
  let scratch: TestDatabase;
  let database: Database;
  beforeAll(async () => {
    scratch = await testDatabase({
      migrations: [{ schema: 'ledger', migrations: [{ name: '0001', up: ['CREATE TABLE ledger.entries (tenant_id text, id int, PRIMARY KEY (tenant_id, id))', ...tenantTable('ledger.entries')] }] }],
    });
    database = await createDatabase({ url: scratch.url, applicationName: 'group-commit-test' });
  });
  afterAll(async () => {
    await database.close();
    await scratch.drop();
  });

  it('writes many tenants\' rows in few commits, and the poisonous one fails alone', async () => {
    let commits = 0;
    const writer = new GroupCommit<{ tenant: string; id: number }, number>({
      flush: async (ops) => {
        commits += 1;
        const body = JSON.stringify(ops);
        try {
          await withTenant(database.pool, [...new Set(ops.map((op) => op.tenant))], (client) =>
            client.query('INSERT INTO ledger.entries SELECT tenant, id FROM jsonb_to_recordset($1) AS op(tenant text, id int)', [body]),
          );
        } catch (error) {
          throw new FlushRolledBackError(error);
        }
        return ops.map((op) => op.id);
      },
    });
    const ops = Array.from({ length: 300 }, (_, id) => ({ tenant: `tnt_${id % 7}`, id: id === 150 ? 143 : id }));
    const settled = await Promise.allSettled(ops.map((op) => writer.submit(op)));
    expect(settled.filter((result) => result.status === 'rejected')).toHaveLength(1);
    expect(settled[150]).toMatchObject({ reason: { code: 'conflict' } });
    expect(commits).toBeLessThan(150);
    const { rows } = await scratch.asSuperuser((client) => client.query<{ count: number }>('SELECT count(*)::int AS count FROM ledger.entries'));
    expect(rows[0]!.count).toBe(299);
    await writer.close();
  });
});
