/** Connections whose other end has vanished: they stay open and answer nothing, and must not hold anybody up for long. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { startPostgresProxy, type PostgresProxy } from '../../../conformance/harness/postgres-proxy.ts';
import { listen } from './listener.ts';
import { createDatabase } from './pool.ts';
import { withScheduler } from './transaction.ts';

let test: TestDatabase;
let proxy: PostgresProxy;
beforeAll(async () => {
  test = await testDatabase();
  proxy = await startPostgresProxy(test.url);
});
afterAll(async () => {
  await proxy.close();
  await test.drop();
});

describe('a connection that has gone silent', () => {
  it('is given up by the pool, which says that the database cannot be reached and makes a new one', async () => {
    const database = await createDatabase({ url: proxy.url, applicationName: 'half-open', max: 1, role: null, statementTimeoutMs: 200 });
    try {
      expect(proxy.silence()).toBeGreaterThan(0);
      const refused = await withScheduler(database.pool, (client) => client.query('SELECT 1')).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: 'dependency_unavailable' });
      await database.ping();
    } finally {
      await database.close();
    }
  });

  it('is given up by the listener, which hears again on a new one', async () => {
    let connected = 0;
    const heard: string[] = [];
    const until = async (done: () => boolean): Promise<void> => {
      for (const deadline = Date.now() + 10_000; !done();) {
        if (Date.now() > deadline) throw new Error(`connected ${connected} times, heard ${heard.join()}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const listener = listen({ url: proxy.url, applicationName: 'half-open', channels: ['half_open'], pulseMs: 300, onNotification: (_channel, payload) => heard.push(payload), onConnect: () => (connected += 1) });
    try {
      await until(() => connected === 1);
      proxy.silence();
      await until(() => connected === 2);
      await test.asSuperuser((client) => client.query("NOTIFY half_open, 'again'"));
      await until(() => heard.includes('again'));
    } finally {
      await listener.close();
      proxy.cut();
    }
  });
});
