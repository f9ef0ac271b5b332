/** `npm run contract:check`: every gate that the contract has to pass, in one run. */
import { checkAdditive } from './additive.ts';
import { readContract } from './contract-model.ts';
import { timed, type TimedGateResult } from './gate.ts';
import { checkGolden, checkNegativeTwins } from './golden.ts';
import { checkLint } from './lint.ts';

const MOST_PROBLEMS_SHOWN = 40;

function printTable(results: readonly TimedGateResult[], total: number): void {
  const rows = [
    ['gate', 'looked at', 'problems', 'time'],
    ...results.map(({ gate, looked, problems, seconds }) => [gate, looked, String(problems.length), `${seconds.toFixed(1)} s`]),
    ['all', '', String(results.reduce((sum, { problems }) => sum + problems.length, 0)), `${total.toFixed(1)} s`],
  ];
  const widths = rows[0]!.map((_cell, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows) process.stdout.write(`${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd()}\n`);
}

function printEvidence({ gate, problems, next }: TimedGateResult): void {
  process.stderr.write(`\n${gate}: ${problems.length} problems\n`);
  for (const problem of problems.slice(0, MOST_PROBLEMS_SHOWN)) process.stderr.write(`  ${problem}\n`);
  if (problems.length > MOST_PROBLEMS_SHOWN) process.stderr.write(`  … and ${problems.length - MOST_PROBLEMS_SHOWN} more\n`);
  process.stderr.write(`Next: ${next}\n`);
}

async function main(): Promise<number> {
  const started = performance.now();
  const contract = await readContract();
  const results = await Promise.all([
    timed(() => checkLint(contract.openapi, contract.schemas)),
    timed(() => checkAdditive(contract)),
    timed(() => checkGolden()),
    timed(() => checkNegativeTwins()),
  ]);
  printTable(results, (performance.now() - started) / 1000);
  for (const note of results.flatMap(({ notes }) => notes)) process.stdout.write(`note: ${note}\n`);
  const failed = results.filter(({ problems }) => problems.length > 0);
  for (const result of failed) printEvidence(result);
  return failed.length === 0 ? 0 : 1;
}

process.exitCode = await main();
