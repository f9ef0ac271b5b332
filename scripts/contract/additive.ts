/**
 * The additive-only gate: /v1 grows, nothing that was promised goes.
 *
 * 1. Against the newest release nothing may break. Whoever must break something freezes a new release with it.
 * 2. From one release to the next, a break needs an entry in BREAKING.md, and only while no stable release exists.
 * 3. Against the newest stable release nothing may break, ever.
 * 4. Against the merge base the same holds, for what is not released yet: only a new release whose entries name the
 *    break lets it pass. Releases that the merge base has are frozen.
 */
import { type Contract, findMergeBase, readContract, withSpecsAt } from './contract-model.ts';
import { diffContracts, type Finding } from './contract-diff.ts';
import type { GateResult } from './gate.ts';
import { type BreakingEntry, listReleases, readBreaking, readSnapshot, snapshotHash, tamperedFiles, type Version } from './releases.ts';

export interface AdditiveInput {
  readonly current: Contract;
  /** Oldest first. */
  readonly releases: ReadonlyArray<{ readonly version: Version; readonly contract: Contract }>;
  readonly entries: readonly BreakingEntry[];
  /** What the merge base had; null when there is none, or it had no contract. */
  readonly mergeBase: { readonly contract: Contract; readonly releases: readonly string[] } | null;
}

/** The rules above, on data alone. */
export async function judge(input: AdditiveInput): Promise<string[]> {
  const newest = input.releases.at(-1);
  if (newest === undefined) return ['specs/released/ holds no release, so nothing is promised yet. Freeze one: npm run contract:release -- v1.02.0-alpha.1'];
  const problems: string[] = [];
  const stable = input.releases.filter(({ version }) => !version.isPreRelease).at(-1);
  for (const finding of await diffContracts(newest.contract, input.current)) {
    problems.push(`breaks ${newest.contract.label}: ${text(finding)}. ${newest.version.isPreRelease && stable === undefined ? HOW_TO_BREAK : NEVER}`);
  }
  problems.push(...(await judgeLastStep(input)));
  if (stable !== undefined && stable !== newest) {
    for (const finding of await diffContracts(stable.contract, input.current)) problems.push(`breaks ${stable.contract.label}: ${text(finding)}. ${NEVER}`);
  }
  if (input.mergeBase !== null) problems.push(...(await judgeMergeBase(input, input.mergeBase)));
  return problems;
}

const HOW_TO_BREAK = 'Either undo it, or enter it in specs/released/BREAKING.md and freeze a new pre-release.';
const NEVER = 'A stable release is never broken: undo it, or add a new member beside the old one.';

function text({ what, change }: Finding): string {
  return `${what}: ${change}`;
}

/** The entry that names a finding in one of the given releases. */
function isOwnedUpTo(finding: Finding, entries: readonly BreakingEntry[], releases: readonly string[]): boolean {
  return entries.some(
    (entry) => releases.includes(entry.release) && entry.what === finding.what && entry.change === finding.change && entry.reason.length >= 10,
  );
}

async function judgeLastStep({ releases, entries }: AdditiveInput): Promise<string[]> {
  const [previous, newest] = releases.slice(-2);
  if (previous === undefined || newest === undefined) return [];
  const mayBreak = releases.slice(0, -1).every(({ version }) => version.isPreRelease);
  const findings = await diffContracts(previous.contract, newest.contract);
  return findings
    .filter((finding) => !mayBreak || !isOwnedUpTo(finding, entries, [newest.version.text]))
    .map((finding) =>
      mayBreak
        ? `${newest.contract.label} breaks ${previous.contract.label}: ${text(finding)}. Add to specs/released/BREAKING.md: | ${newest.version.text} | ${finding.what} | ${finding.change} | <why> |`
        : `${newest.contract.label} breaks ${previous.contract.label}: ${text(finding)}. ${NEVER}`,
    );
}

async function judgeMergeBase({ current, releases, entries }: AdditiveInput, mergeBase: NonNullable<AdditiveInput['mergeBase']>): Promise<string[]> {
  if (mergeBase.releases.length === 0) return [];
  const added = releases.map(({ version }) => version.text).filter((version) => !mergeBase.releases.includes(version));
  const mayBreak = releases.filter(({ version }) => mergeBase.releases.includes(version.text)).every(({ version }) => version.isPreRelease);
  const findings = await diffContracts(mergeBase.contract, current);
  return findings
    .filter((finding) => !mayBreak || !isOwnedUpTo(finding, entries, added))
    .map((finding) => `breaks ${mergeBase.contract.label}: ${text(finding)}. ${mayBreak ? HOW_TO_BREAK : NEVER}`);
}

export async function checkAdditive(current: Contract): Promise<GateResult> {
  const releases = listReleases().map((version) => ({ version, contract: readSnapshot(version) }));
  const notes: string[] = [];
  const problems = releases.flatMap(({ version }) => tamperedFiles(version).map((file) => `${file} is not what was released; restore it from version control`));
  const mergeBase = await readMergeBase(releases.map(({ version }) => version), notes, problems);
  problems.push(...(await judge({ current, releases, entries: readBreaking(), mergeBase })));
  const against = [releases.at(-1)?.contract.label, mergeBase?.contract.label].filter((label) => label !== undefined);
  return {
    gate: 'additive only',
    looked: against.length === 0 ? 'nothing to compare with' : `against ${against.join(' and ')}`,
    problems,
    notes,
    next: 'specs/SPEC_AUTHORITY.md says how the contract may grow.',
  };
}

async function readMergeBase(releases: readonly Version[], notes: string[], problems: string[]): Promise<AdditiveInput['mergeBase']> {
  const found = findMergeBase();
  if ('reason' in found) {
    notes.push(`The merge base was not compared: ${found.reason}.`);
    return null;
  }
  const label = `commit ${found.commit.slice(0, 8)}`;
  const result = await withSpecsAt(found.commit, async (specs) => {
    const then = listReleases(specs);
    for (const version of then) {
      const now = releases.find(({ text: name }) => name === version.text);
      if (now === undefined) problems.push(`specs/released/${version.text} was released at ${label} and is gone; restore it`);
      else if (snapshotHash(now) !== snapshotHash(version, specs)) problems.push(`specs/released/${version.text} differs from ${label}; a release is frozen, restore it`);
    }
    return { contract: await readContract(specs, label), releases: then.map(({ text: name }) => name) };
  });
  if (result === null) notes.push(`The merge base was not compared: ${label} has no specs/openapi.`);
  else if (result.releases.length === 0) notes.push(`The merge base was not compared: nothing had been released at ${label}.`);
  return result;
}
