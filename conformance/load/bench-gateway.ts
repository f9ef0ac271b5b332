/**
 * `npm run bench:gateway`: what this gateway costs, beside no gateway, the least a proxy can be, and Portkey's.
 *
 *   direct    the upstream itself: answers at once with 200 tokens, or streams 50 chunks 5 ms apart
 *   bare      node:http and undici, bytes handed on
 *   off, on   Model Policy without and with credentials, rules, personal data, budgets, ledger and log
 *   portkey   @portkey-ai/gateway with a fallback and retries
 *
 * All of them run at once and take turns at 1, 16 and 64 connections; gateways are pinned to one core, what stands around
 * them to the others. `--requests N` a cell (4,000), `--rounds N` (4), `--connections 1,16`, `--only on,bare`,
 * `--answers whole`, `--without-portkey`, which installs nothing. BENCH_PORTKEY_DIR says where Portkey is installed, BENCH_ROOT names the
 * folder of another build of the platform, BENCH_PROFILE_DIR writes CPU profiles. Tables go to stdout, everything to `reports/bench-gateway.json`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startTestPostgres, type TestPostgres } from '../../scripts/lib/postgres/index.ts';
import { reached, round, tableOf } from './figures.ts';
import { goalsOf, rowsOf, tableOfRows } from './gateway/cell-report.ts';
import { measureCells, type Cell, type CellPlan } from './gateway/cells.ts';
import { CONTENDERS, startContender, startListening, type Contender, type ContenderName } from './gateway/contenders.ts';
import { coresOf, pin, startProgram } from './gateway/pinned-process.ts';
import { PORTKEY_VERSION } from './gateway/portkey.ts';
import { stopProcess } from './node-under-test.ts';

interface Options extends CellPlan {
  readonly names: readonly ContenderName[];
  readonly portkeyFolder: string;
}

function readOptions(): Options {
  const { values } = parseArgs({
    strict: true,
    options: { requests: { type: 'string', default: '4000' }, rounds: { type: 'string', default: '4' }, connections: { type: 'string', default: '1,16,64' }, only: { type: 'string' }, answers: { type: 'string', default: 'whole,stream' }, 'without-portkey': { type: 'boolean', default: false } },
  });
  const wanted = values.only?.split(',') ?? CONTENDERS.filter((name) => name !== 'portkey' || !values['without-portkey']);
  const unknown = wanted.filter((name) => !CONTENDERS.includes(name as ContenderName));
  if (unknown.length > 0) throw new Error(`There is no contender ${unknown.join(', ')}; they are ${CONTENDERS.join(', ')}.`);
  const forms = values.answers.split(',');
  if (forms.some((form) => form !== 'whole' && form !== 'stream')) throw new Error(`${values.answers} are no forms of answers; they are whole and stream.`);
  const [requests, rounds, ...connections] = [values.requests, values.rounds, ...values.connections.split(',')].map((text) => {
    if (!/^[1-9]\d*$/.test(text)) throw new Error(`${text} is no number of requests, rounds or connections.`);
    return Number(text);
  });
  return { requests: requests!, rounds: rounds!, connections, streamed: forms.map((form) => form === 'stream'), names: CONTENDERS.filter((name) => wanted.includes(name)), portkeyFolder: path.resolve(process.env['BENCH_PORTKEY_DIR'] ?? '.agentos/bench/portkey') };
}

async function measure(options: Options, postgres: TestPostgres | null): Promise<readonly Cell[]> {
  if (postgres !== null) pin(postgres.pid, 'around');
  const upstream = await startListening('upstream-main', 'around');
  const clients = startProgram('clients-main', 'around');
  const contenders: Contender[] = [];
  try {
    const around = { upstreamPort: upstream.port, postgres, portkeyFolder: options.portkeyFolder };
    for (const name of options.names) contenders.push(await startContender(name, around));
    return await measureCells(clients, contenders, options);
  } finally {
    await Promise.all(contenders.map((contender) => contender.stop()));
    await Promise.all([stopProcess(clients), stopProcess(upstream.child)]);
  }
}

async function main(): Promise<void> {
  const options = readOptions();
  const loadBefore = loadavg()[0]!;
  const postgres = options.names.some((name) => name === 'off' || name === 'on') ? await startTestPostgres() : null;
  const cells = await measure(options, postgres).finally(() => postgres?.stop());
  const machine = {
    cpus: cpus().length, model: cpus()[0]?.model ?? 'unknown', node: process.version, load_before: round(loadBefore), load_after: round(loadavg()[0]!),
    gateway_cores: coresOf('gateway'), other_cores: coresOf('around'),
  };
  const rows = rowsOf(cells);
  const figures = goalsOf(rows);
  console.log(`\n${machine.cpus} cores, ${machine.model}, Node ${machine.node}, load ${machine.load_before} before and ${machine.load_after} after; ${machine.gateway_cores === null ? 'nothing pinned' : `gateways on core ${machine.gateway_cores}, the rest on ${machine.other_cores}`}`);
  console.log(`\nwhole answers\n${tableOfRows(rows, 'whole')}\n\nstreams\n${tableOfRows(rows, 'stream')}\n\n${tableOf(figures)}`);
  const { requests, rounds, connections, names } = options;
  const report = { machine, options: { requests, rounds, connections, contenders: names, portkey: PORTKEY_VERSION }, figures: figures.map((figure) => ({ ...figure, reached: reached(figure) })), cells: rows };
  mkdirSync('reports', { recursive: true });
  writeFileSync('reports/bench-gateway.json', `${JSON.stringify(report, null, 2)}\n`);
  console.log('written to reports/bench-gateway.json');
}

await main();
