/**
 * Starts the one Postgres of a test run, or takes the server that AGENTOS_TEST_DATABASE_URL names.
 *
 * Files get its address by `inject('postgresUrl')`; they never use that database itself but clone their own from a
 * template (database.ts). What an earlier, killed run left on a given server is swept away here.
 */
import type { TestProject } from 'vitest/node';
import { newRunId, sweepDatabases, sweepStaleDatabases } from './database-server.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** A superuser's address of the test server. */
    postgresUrl: string;
    /** Marks the databases of this run, so that another run on the same server is not disturbed. */
    testRunId: string;
  }
}

interface TestServer {
  readonly url: string;
  stop(): Promise<void>;
}

async function testServer(): Promise<TestServer> {
  const given = process.env['AGENTOS_TEST_DATABASE_URL'];
  if (given !== undefined && given !== '') return { url: given, stop: async () => {} };
  const { startTestPostgres } = await import('../../scripts/lib/postgres/index.ts');
  // Services refuse a server that may lose what it acknowledged, so the one of the tests is durable too.
  return startTestPostgres({ durable: true });
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const runId = newRunId();
  const server = await testServer();
  await sweepStaleDatabases(server.url);
  project.provide('postgresUrl', server.url);
  project.provide('testRunId', runId);
  return async () => {
    await sweepDatabases(server.url, runId);
    await server.stop();
  };
}
