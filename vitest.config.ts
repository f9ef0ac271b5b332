import { defineConfig } from 'vitest/config';

/**
 * One process a test file, two at a time: the machine that must pass has two cores, and a file that leaks a handle or
 * a global cannot disturb the next one. The single Postgres is started by the global setup; every file that needs a
 * database clones its own (conformance/harness/database.ts).
 */
export default defineConfig({
  test: {
    environment: 'node',
    include: ['{services,scripts,sdk,conformance,examples,specs}/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', '**/.agentos/**'],
    globalSetup: ['conformance/harness/global-setup.ts'],
    setupFiles: ['vitest.setup.ts'],
    pool: 'forks',
    maxWorkers: Number(process.env['AGENTOS_TEST_WORKERS'] ?? 2),
    testTimeout: 60_000,
    hookTimeout: 180_000,
    teardownTimeout: 10_000,
    retry: 0,
    passWithNoTests: false,
    restoreMocks: true,
    unstubEnvs: true,
    sequence: { hooks: 'list' },
    reporters: ['default'],
    // A test that logs is a test whose failure nobody finds; what a failing test prints is kept.
    silent: 'passed-only',
  },
});
