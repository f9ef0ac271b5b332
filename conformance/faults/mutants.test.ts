/** Whether the checks would notice: each promise is broken once, in a build of its own (see mutants.ts). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildForTest, type TestBuild } from '../harness/builds.ts';
import { testDatabase, type TestDatabase } from '../harness/database.ts';
import { CHECKS, type BuildUnderTest, type CheckName } from './mutant-checks.ts';
import { MUTANTS } from './mutants.ts';

const ENTRY = 'conformance/faults/under-test.ts';

async function load(build: TestBuild): Promise<BuildUnderTest> {
  return (await import(build.entry(ENTRY))) as BuildUnderTest;
}

/** Claims span tenants, so each check has a database of its own. What goes wrong before the check has begun is no finding. */
async function withDatabase(module: BuildUnderTest, work: (url: string) => Promise<void>): Promise<void> {
  const database: TestDatabase = await testDatabase();
  try {
    await module.migrateStores(database.url);
    await work(database.url);
  } finally {
    await database.drop();
  }
}

const names = Object.keys(CHECKS) as CheckName[];

describe('on the product', () => {
  let build: TestBuild;
  let product: BuildUnderTest;
  beforeAll(async () => {
    build = await buildForTest([ENTRY]);
    product = await load(build);
  });
  afterAll(() => build.remove());

  it.each(names)('%s', (name) => withDatabase(product, (url) => CHECKS[name](product, url)));
});

describe('a mutant without its', () => {
  it.each(MUTANTS)('$name is caught: $caughtBy', async ({ caughtBy, replacements }) => {
    const build = await buildForTest([ENTRY], replacements);
    try {
      const mutant = await load(build);
      await withDatabase(mutant, (url) => expect(CHECKS[caughtBy](mutant, url), 'the check did not notice').rejects.toMatchObject({ name: 'AssertionError' }));
    } finally {
      build.remove();
    }
  });

  it('check leaves none out', () => {
    expect(names.filter((name) => !MUTANTS.some(({ caughtBy }) => caughtBy === name))).toEqual([]);
  });
});
