/**
 * `npm run generate` writes everything that derives from `specs/`; `npm run generate -- --check` makes the same files
 * in memory and fails when the working tree differs from them in any way: changed, missing or left over.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { compareWithTree, type Difference } from './contract/drift.ts';
import { generateAll } from './contract/generation.ts';
import { repositoryRoot } from './contract/paths.ts';

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.filter((argument) => argument !== '--check');
  if (unknown.length > 0) {
    process.stderr.write(`Unknown argument ${unknown.join(' ')}. Use: npm run generate [-- --check]\n`);
    return 2;
  }
  const started = performance.now();
  const files = await generateAll();
  const differences = compareWithTree(files, repositoryRoot);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (args.includes('--check')) return report(differences, files.size, seconds);
  for (const difference of differences) apply(difference, files);
  process.stdout.write(`Generated ${files.size} files in ${seconds} s, ${differences.length} of them changed.\n`);
  for (const { kind, path } of differences) process.stdout.write(`  ${kind === 'left over' ? 'removed' : 'written'}  ${path}\n`);
  return 0;
}

function apply({ kind, path }: Difference, files: ReadonlyMap<string, string>): void {
  const target = join(repositoryRoot, path);
  if (kind === 'left over') {
    rmSync(target);
    return;
  }
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, files.get(path)!);
}

function report(differences: readonly Difference[], total: number, seconds: string): number {
  if (differences.length === 0) {
    process.stdout.write(`${total} generated files are what specs/ says (${seconds} s).\n`);
    return 0;
  }
  process.stderr.write(`${differences.length} of ${total} generated files differ from what specs/ says:\n`);
  for (const { kind, path, evidence } of differences) process.stderr.write(`  ${kind.padEnd(9)}  ${path}${evidence === '' ? '' : `: ${evidence}`}\n`);
  process.stderr.write('Next: npm run generate, then commit the result.\n');
  return 1;
}

process.exitCode = await main(process.argv.slice(2));
