/** `npm run coverage:requirements`: which requirements have a test, by group. Reads sources; runs no test. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { judgeCoverage, scanCitations } from './citations.ts';
import { requirements } from './requirements.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const gaps = JSON.parse(readFileSync(new URL('./known-gaps.json', import.meta.url), 'utf8')) as Record<string, string>;
const verbose = process.argv.includes('--verbose');
const asJson = process.argv.includes('--json');

const scan = scanCitations(root);
const places = new Map<string, string[]>();
for (const { id, where } of scan.citations) places.set(id, [...(places.get(id) ?? []), where]);

const groups = [...new Set(requirements.map((requirement) => requirement.group))];
const rows = groups.map((group) => {
  const members = requirements.filter((requirement) => requirement.group === group);
  const tested = members.filter((requirement) => places.has(requirement.id));
  const open = members.filter((requirement) => !places.has(requirement.id)).map((requirement) => requirement.id);
  return { group, total: members.length, tested: tested.length, open };
});

if (asJson) {
  process.stdout.write(`${JSON.stringify({ groups: rows, citations: Object.fromEntries(places), gaps }, null, 2)}\n`);
} else {
  for (const row of rows) {
    process.stdout.write(`${row.group}: ${row.tested} of ${row.total}\n`);
    if (row.open.length > 0) process.stdout.write(`  without a test: ${row.open.join(' ')}\n`);
    if (verbose) {
      for (const requirement of requirements.filter((candidate) => candidate.group === row.group && places.has(candidate.id))) {
        process.stdout.write(`  ${requirement.id} ${requirement.text}\n    ${places.get(requirement.id)!.join('\n    ')}\n`);
      }
    }
  }
  const tested = rows.reduce((sum, row) => sum + row.tested, 0);
  process.stdout.write(`\n${tested} of ${requirements.length} requirements have a test, ${Object.keys(gaps).length} are known gaps.\n`);
}

const verdict = judgeCoverage(scan.citations, gaps);
const faults = [
  ...verdict.unknown.map((citation) => `unknown id ${citation.id} at ${citation.where}`),
  ...verdict.staleGaps.map((id) => `${id} is listed in known-gaps.json but has a test`),
  ...verdict.unknownGaps.map((id) => `known-gaps.json lists ${id}, which is no requirement`),
  ...verdict.missing.map((requirement) => `${requirement.id} has neither a test nor an entry in known-gaps.json`),
  ...scan.unreadable.map((where) => `${where}: the ids of verifies() must be literals`),
];
if (faults.length > 0) {
  process.stderr.write(`${faults.join('\n')}\n`);
  process.exitCode = 1;
}
