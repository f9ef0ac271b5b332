/**
 * `npx tsx conformance/load/security-cost.ts`: what row-level security, signed credentials and the audit log cost the
 * creation of a plain run. Four API processes on databases of one server take turns of a second, in a new order each
 * round, so that a slow moment of the machine falls on all of them. The goal: all of it together costs at most 15 %. Beside
 * the throughput stands the CPU of a run, API process and database together, which a busy machine disturbs least.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { auditMigrations, AUDIT_SCHEMA } from '../../services/platform/audit/audit-migrations.ts';
import { migrations, SCHEMA } from '../../services/agent-orchestrator/adapters/migrations/index.ts';
import { PostgresAgents } from '../../services/agent-orchestrator/adapters/agents-postgres.ts';
import { seedNode } from '../../services/agent-orchestrator/seed.ts';
import { migrate } from '../../services/platform/db/migrate.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import { directoryMigrations, DIRECTORY_SCHEMA } from '../../services/platform/tenancy/directory-migrations.ts';
import { PostgresDirectory } from '../../services/platform/tenancy/directory-postgres.ts';
import { startTestPostgres } from '../../scripts/lib/postgres/index.ts';
import { freshDatabase, withClient } from './databases.ts';
import { quantile } from './load-clients.ts';
import { cpuSeconds } from './process-cost.ts';

/** Each adds to the one before: nothing, row-level security, signed credentials, the audit log. */
const LEVELS = ['bare', 'confined', 'signed', 'full'] as const;
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 20);
const TURN_MS = Number(process.env['BENCH_WINDOW_MS'] ?? 1_000);
const CLIENTS = Number(process.env['BENCH_CLIENTS'] ?? 64);
const GOAL = 0.85;

interface Side {
  readonly url: string;
  readonly level: (typeof LEVELS)[number];
  readonly child: ChildProcess;
  readonly lines: Interface;
  readonly pool: Pool;
  readonly perSecond: number[];
  /** Microseconds a run. */
  readonly cpuMicros: number[];
}

async function main(): Promise<void> {
  const postgres = await startTestPostgres();
  const sides: Side[] = [];
  try {
    for (const level of LEVELS) sides.push(await start(level, await freshDatabase(postgres.url, `security_cost_${level}`)));
    await withClient(postgres.url, (client) => client.query('CHECKPOINT'));
    for (let round = -2; round < ROUNDS; round += 1) {
      const first = Math.abs(round) % sides.length;
      const order = [...sides.slice(first), ...sides.slice(0, first)];
      for (const side of round % 2 === 0 ? order : order.reverse()) {
        const { perSecond, cpuMicros } = await turn(side, postgres.pid);
        await clearQueue(side.url);
        if (round < 0) continue;
        side.perSecond.push(perSecond);
        side.cpuMicros.push(cpuMicros);
      }
    }
    report(sides);
  } finally {
    for (const { child, pool } of sides) {
      await pool.destroy();
      child.stdin!.end();
      await new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve(null)));
    }
    await postgres.stop();
  }
}

async function start(level: Side['level'], url: string): Promise<Side> {
  await migrate({ url, schema: AUDIT_SCHEMA, migrations: auditMigrations });
  await migrate({ url, schema: DIRECTORY_SCHEMA, migrations: directoryMigrations });
  await migrate({ url, schema: SCHEMA, migrations });
  const database = await createDatabase({ url, applicationName: 'security-cost-seed', max: 2 });
  await seedNode(new PostgresDirectory(database.pool), new PostgresAgents(database.pool)).finally(() => database.close());
  const main = fileURLToPath(new URL('./security-cost-main.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', main], { env: { ...process.env, DATABASE_URL: url, SECURITY_COST: level }, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout! });
  const address = await nextLine(lines);
  return { url, level, child, lines, pool: new Pool(address, { connections: CLIENTS, pipelining: 1 }), perSecond: [], cpuMicros: [] };
}

/** Nobody works these runs off, and looking through a queue that only grows is not what is measured. */
function clearQueue(url: string): Promise<unknown> {
  return withClient(url, async (client) => {
    await client.query("UPDATE orchestrator.runs SET status = 'completed', completed_at = clock_timestamp() WHERE status = 'queued'");
    await client.query('UPDATE orchestrator.tenant_runs SET active = 0');
    await client.query('VACUUM ANALYZE orchestrator.runs, orchestrator.tenant_runs, audit.heads');
  });
}

const nextLine = (lines: Interface): Promise<string> => new Promise((resolve) => lines.once('line', resolve));

/** Runs created a second, and the CPU of each, by clients that create the next as soon as they are answered. */
async function turn({ level, child, lines, pool }: Side, postgresPid: number): Promise<{ readonly perSecond: number; readonly cpuMicros: number }> {
  child.stdin!.write('token\n');
  const token = await nextLine(lines);
  const headers = { 'content-type': 'application/json', ...(level === 'bare' || level === 'confined' ? { 'x-tenant-id': 'tnt_demo', 'x-principal-id': 'usr_bench' } : { authorization: `Bearer ${token}` }) };
  const cpu = (): number => (cpuSeconds(child.pid!) ?? Number.NaN) + (cpuSeconds(postgresPid) ?? Number.NaN);
  const cpuBefore = cpu();
  const startedMs = performance.now();
  let created = 0;
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    while (performance.now() - startedMs < TURN_MS) {
      const answer = await pool.request({ method: 'POST', path: '/v1/agents/agt_demo/runs', headers, body: '{"input":"hello"}' });
      const text = await answer.body.text();
      if (answer.statusCode !== 201) throw new Error(`${level} answered ${answer.statusCode}: ${text}`);
      created += 1;
    }
  }));
  return { perSecond: created / ((performance.now() - startedMs) / 1_000), cpuMicros: ((cpu() - cpuBefore) / created) * 1e6 };
}

function report(sides: readonly Side[]): void {
  const bare = sides[0]!;
  const median = (values: readonly number[]): number => quantile([...values].sort((a, b) => a - b), 0.5);
  for (const { level, perSecond, cpuMicros } of sides) {
    // Round by round: what the machine did in that second, it did to all of them.
    const ratio = median(perSecond.map((value, round) => value / bare.perSecond[round]!));
    const cpuRatio = median(cpuMicros.map((value, round) => bare.cpuMicros[round]! / value));
    const goal = level === 'full' ? `  (goal: at least ${GOAL}; ${ratio >= GOAL ? 'met' : 'MISSED'})` : '';
    process.stdout.write(`${level.padEnd(9)} ${median(perSecond).toFixed(0).padStart(6)} runs/s  ratio ${ratio.toFixed(3)}   ${median(cpuMicros).toFixed(0).padStart(5)} µs CPU a run  ratio ${cpuRatio.toFixed(3)}${goal}\n`);
  }
}

await main();
