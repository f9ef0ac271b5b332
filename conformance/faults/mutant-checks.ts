/** One check a promise: it passes on the product and fails, by name, on the mutant that breaks the promise. */
import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import pg from 'pg';
import { newId } from '../../services/platform/ids.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';
import { startPostgresProxy } from '../harness/postgres-proxy.ts';
import { freshTenant, pause } from '../ports/fixtures.ts';
import { allEvents, claimOptions, completion, create, createAndClaim, createMany, newRun, step, WORKER } from '../ports/run-fixtures.ts';
import { IDENTITY_CHECKS } from './identity-checks.ts';
import { PEER_CHECKS } from './peer-checks.ts';
import { SETTLE_CHECKS } from './settle-checks.ts';
import type * as UnderTest from './under-test.ts';

export type BuildUnderTest = typeof UnderTest;
export type Check = (build: BuildUnderTest, databaseUrl: string) => Promise<void>;

const OTHER = { workerId: 'wrk_other' };

async function withStores(build: BuildUnderTest, url: string, work: (stores: UnderTest.StoresUnderTest) => Promise<void>, role?: null): Promise<void> {
  const stores = await build.openStores(url, role);
  try {
    await work(stores);
  } finally {
    await stores.close();
  }
}

export const CHECKS = {
  ...IDENTITY_CHECKS,
  ...PEER_CHECKS,
  ...SETTLE_CHECKS,

  'who has lost the lease writes nothing': (build, url) =>
    withStores(build, url, async (stores) => {
      const tenant = freshTenant();
      const lost = await createAndClaim(stores, tenant, { leaseMs: 60 });
      await pause(150);
      const [taken] = await stores.queue.claim(OTHER, claimOptions());
      assert.equal(taken?.run.runId, lost.run.runId);
      const late = await stores.runState.advance(tenant, lost.lease, step(lost.run.runId, 0));
      assert.equal(late.outcome, 'fenced', 'the worker that had lost the run wrote to it');
      assert.equal((await stores.runState.advance(tenant, taken!.lease, step(lost.run.runId, 0))).outcome, 'applied');
    }),

  'who has lost the lease prolongs nothing': (build, url) =>
    withStores(build, url, async (stores) => {
      const lost = await createAndClaim(stores, freshTenant(), { leaseMs: 60 });
      await pause(150);
      await stores.queue.claim(OTHER, claimOptions({ leaseMs: 120 }));
      assert.deepEqual(await stores.queue.heartbeat(WORKER, [lost.lease], 60_000), [lost.lease], 'the worker that had lost the run was not told so');
      await pause(250);
      const [again] = await stores.queue.claim(WORKER, claimOptions());
      assert.equal(again?.run.runId, lost.run.runId, 'a heartbeat of the worker that had lost the run prolonged the lease of the one that held it');
    }),

  'a transition whose commit went unanswered is written once': async (build, url) => {
    const proxy = await startPostgresProxy(url);
    try {
      await withStores(build, proxy.url, async (stores) => {
        const tenant = freshTenant();
        const { lease, run } = await createAndClaim(stores, tenant);
        for (let at = 0; at < 3; at += 1) {
          let lose = true;
          proxy.loseCommits(() => lose && !(lose = false));
          const result = await stores.runState.advance(tenant, lease, step(run.runId, at)).catch((error: unknown) => error as Error);
          proxy.loseCommits(null);
          assert.equal('outcome' in result ? result.outcome : result.message, 'already_applied', 'what was committed was not recognised');
        }
        assert.equal(proxy.lostCommits, 3);
        const events = await allEvents(stores, tenant, run.runId);
        assert.equal(new Set(events.map(({ eventId }) => eventId)).size, events.length);
        assert.deepEqual(events.map(({ sequence }) => sequence), events.map((_, index) => index + 1));
      });
    } finally {
      await proxy.close();
    }
  },

  'equal keys make one run': async (build, url) => {
    const stores = [await build.openStores(url), await build.openStores(url)];
    try {
      // A tenant's first run races for the tenant's own row as well.
      const known = freshTenant();
      for (let round = 0; round < 32; round += 1) {
        const tenant = round % 4 === 0 ? freshTenant() : known;
        const idempotency = { key: newId('idem'), requestHash: 'hash', ttlHours: 1 };
        const results = await Promise.all(Array.from({ length: 6 }, (_, index) => stores[index % 2]!.runState.createRun(tenant, newRun({ idempotency })).catch((error: unknown) => error as Error)));
        const runs = new Set(results.map((result) => ('outcome' in result && 'run' in result ? result.run.runId : `${'outcome' in result ? result.outcome : result.message}`)));
        assert.equal(runs.size, 1, `one key led to ${[...runs].join(', ')}`);
      }
    } finally {
      await Promise.all(stores.map((one) => one.close()));
    }
  },

  'an expired run goes before those that wait': (build, url) =>
    withStores(build, url, async (stores) => {
      const lost = await createAndClaim(stores, freshTenant(), { leaseMs: 60 });
      await createMany(stores, freshTenant(), 20);
      await pause(150);
      const [first] = await stores.queue.claim(OTHER, claimOptions());
      assert.equal(first?.run.runId, lost.run.runId, 'a run that a worker had lost waited behind new ones');
    }),

  'a reader that takes nothing costs no more than a page': async (build) => {
    let frames = 0;
    const served = new AbortController();
    const data = 'x'.repeat(16_384);
    async function* endless(): AsyncGenerator<{ data: string }> {
      for (; !served.signal.aborted; frames += 1) yield { data };
    }
    let response: ServerResponse | null = null;
    const server = createServer((_request, answer) => {
      response = answer;
      answer.writeHead(200);
      void build.writeEventStream(answer, endless(), { signal: served.signal, stallMs: 10_000 }).catch(() => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const reader = connect((server.address() as AddressInfo).port, '127.0.0.1');
    reader.on('error', () => undefined);
    reader.pause();
    reader.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    try {
      await pause(500);
      const held = (response as ServerResponse | null)?.writableLength ?? 0;
      assert.ok(frames > 0 && held < 1_000_000, `${held} bytes are held for a reader that takes nothing, ${frames} frames were made`);
    } finally {
      served.abort();
      reader.destroy();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    }
  },

  'statements alone hide other tenants': (build, url) => hidesTenants(build, url, null),

  'row-level security alone hides other tenants': async (build, url) => {
    const [owner, stranger] = [freshTenant(), freshTenant()];
    await withStores(build, url, async (stores) => {
      const { run, lease } = await createAndClaim(stores, owner);
      await stores.runState.advance(owner, lease, completion(run.runId, 0));
      assert.ok((await rowsAs(url, owner.tenant_id)) > 0, 'the owner must see rows, or this proves nothing');
      assert.equal(await rowsAs(url, stranger.tenant_id), 0, 'a statement without a predicate saw rows of another tenant');
    });
  },
} satisfies Readonly<Record<string, Check>>;

export type CheckName = keyof typeof CHECKS;

/** With the owner's rights, whom row-level security does not hold, only the statements stand between tenants. */
async function hidesTenants(build: BuildUnderTest, url: string, role: null): Promise<void> {
  await withStores(
    build,
    url,
    async (stores) => {
      const [owner, stranger]: AuthContext[] = [freshTenant(), freshTenant()];
      const run = await create(stores, owner!);
      const seen = await stores.events.read(stranger!, run.runId, { after: 0, limit: 10 }).then(() => true, () => false);
      const got = await stores.runState.getRun(stranger!, run.runId).then(() => true, () => false);
      const listed = (await stores.runState.listRuns(stranger!, { limit: 10 })).runs.length;
      const canceled = await stores.runState.cancelRun(stranger!, run.runId, completion(run.runId, 0).events.at(-1)!).then(() => true, () => false);
      assert.deepEqual({ seen, got, listed, canceled }, { seen: false, got: false, listed: 0, canceled: false }, 'a stranger reached the run of another tenant');
    },
    role,
  );
}

async function rowsAs(url: string, tenantId: string): Promise<number> {
  const client = new pg.Client({ connectionString: url, options: '-c role=agentos_app' });
  await client.connect();
  try {
    await client.query('BEGIN');
    await client.query("SELECT set_config('app.tenant_ids', $1, true)", [tenantId]);
    const counts = ['runs', 'run_events', 'tenant_runs'].map((table) => `(SELECT count(*) FROM orchestrator.${table})`);
    return (await client.query<{ n: number }>(`SELECT (${counts.join(' + ')})::int AS n`)).rows[0]!.n;
  } finally {
    await client.end();
  }
}
