import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { judge } from '../../scripts/contract/additive.ts';
import { diffContracts, diffDeclarations, type Finding } from '../../scripts/contract/contract-diff.ts';
import type { Contract } from '../../scripts/contract/contract-model.ts';
import { compareVersions, parseBreaking, parseVersion } from '../../scripts/contract/releases.ts';
import { verifies } from '../http/verifies.ts';
import { asContract, type Draft, draftOf, editSchema, realContract } from './draft.ts';
import { additive, breaking } from './mutations.ts';

// Each comparison of documents is a process of its own, of which some tests need a dozen.
vi.setConfig({ testTimeout: 90_000 });

let contract: Contract;
beforeAll(async () => {
  contract = await realContract();
});

function changed(change: (draft: Draft) => void): Contract {
  const draft = draftOf(contract);
  change(draft);
  return asContract(draft);
}

describe('what breaks the contract', () => {
  it('holds at least fifteen ways to break it and ten to extend it', verifies(['PRS-4.3-03'], () => {
    expect(breaking.length).toBeGreaterThanOrEqual(15);
    expect(additive.length).toBeGreaterThanOrEqual(10);
  }));

  it('finds nothing where nothing changed', async () => {
    expect(await diffContracts(contract, asContract(draftOf(contract)))).toEqual([]);
  });

  it.each(breaking)('$name', verifies(['PRS-4.3-03'], async ({ change, names }) => {
    const next = changed(change);
    const namesIt = (findings: readonly Finding[]): boolean => findings.some(({ what }) => what.split(', ').includes(names));
    // The whole comparison holds all that the first part of it finds; Redocly is started only for what is left.
    expect(namesIt(diffDeclarations(contract, next)) || namesIt(await diffContracts(contract, next))).toBe(true);
  }));

  it.each(additive)('does not mind: $name', verifies(['PRS-4.3-03'], ({ change }) => {
    expect(diffDeclarations(contract, changed(change))).toEqual([]);
  }));

  it('lets all of these pass together', verifies(['PRS-4.3-03'], async () => {
    const everything = changed((draft) => additive.forEach(({ change }) => change(draft)));
    expect(await diffContracts(contract, everything)).toEqual([]);
  }));
});

describe('when a break may pass', () => {
  const alpha1 = parseVersion('v1.02.0-alpha.1');
  const alpha2 = parseVersion('v1.02.0-alpha.2');
  const stable = parseVersion('v1.02.0');
  const later = parseVersion('v1.03.0-alpha.1');
  const finding = { what: 'schema RunOptions', change: 'property-removed /dry_run' };
  const reason = 'Nobody could say what a dry run of a model is.';
  const broken = (): Contract => changed((draft) => editSchema(draft, 'RunOptions', (schema) => delete schema.properties.dry_run));
  const release = (version: typeof alpha1, released: Contract): { version: typeof alpha1; contract: Contract } => ({
    version,
    contract: { ...released, label: `release ${version.text}` },
  });
  const entry = (version: string): { release: string; what: string; change: string; reason: string } => ({ release: version, ...finding, reason });

  it('refuses without any release, and says how to make one', async () => {
    expect(await judge({ current: contract, releases: [], entries: [], mergeBase: null })).toEqual([expect.stringContaining('npm run contract:release')]);
  });

  it('refuses a break against the newest pre-release, entered or not, until a new release holds it', verifies(['PRS-11.2-03'], async () => {
    const releases = [release(alpha1, contract)];
    for (const entries of [[], [entry('v1.02.0-alpha.2')]]) {
      expect(await judge({ current: broken(), releases, entries, mergeBase: null })).toEqual([expect.stringContaining('schema RunOptions: property-removed /dry_run')]);
    }
  }));

  it('passes with an entry and a new pre-release', async () => {
    const releases = [release(alpha1, contract), release(alpha2, broken())];
    expect(await judge({ current: broken(), releases, entries: [entry('v1.02.0-alpha.2')], mergeBase: null })).toEqual([]);
  });

  it('refuses a new pre-release without the entry, with the row to add', async () => {
    const releases = [release(alpha1, contract), release(alpha2, broken())];
    const [problem, ...others] = await judge({ current: broken(), releases, entries: [], mergeBase: null });
    expect(others).toEqual([]);
    expect(problem).toContain('| v1.02.0-alpha.2 | schema RunOptions | property-removed /dry_run |');
  });

  it('refuses an entry without a reason, for another release or for another change', async () => {
    const releases = [release(alpha1, contract), release(alpha2, broken())];
    for (const wrong of [{ ...entry('v1.02.0-alpha.2'), reason: '' }, entry('v1.02.0-alpha.1'), { ...entry('v1.02.0-alpha.2'), change: 'property-removed /priority' }]) {
      expect(await judge({ current: broken(), releases, entries: [wrong], mergeBase: null })).toHaveLength(1);
    }
  });

  it('may break from the last pre-release to the first stable release, and never after it', verifies(['PRS-11.2-03'], async () => {
    const first = [release(alpha1, contract), release(stable, broken())];
    expect(await judge({ current: broken(), releases: first, entries: [entry('v1.02.0')], mergeBase: null })).toEqual([]);
    const after = [release(stable, contract), release(later, broken())];
    const problems = await judge({ current: broken(), releases: after, entries: [entry('v1.03.0-alpha.1')], mergeBase: null });
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.every((problem) => problem.includes('A stable release is never broken'))).toBe(true);
  }));

  it('compares with the merge base, whose unreleased promises count too', verifies(['PRS-11.2-03'], async () => {
    const grown = changed((draft) => editSchema(draft, 'RunOptions', (schema) => { schema.properties.seed = { type: 'integer' }; }));
    const mergeBase = { contract: { ...grown, label: 'commit 1a2b3c4d' }, releases: ['v1.02.0-alpha.1'] };
    const problems = await judge({ current: contract, releases: [release(alpha1, contract)], entries: [], mergeBase });
    expect(problems).toEqual([expect.stringContaining('breaks commit 1a2b3c4d: schema RunOptions: property-removed /seed')]);
  }));

  it('lets a break against the merge base pass with an entry and a release that the merge base lacks', async () => {
    const mergeBase = { contract: { ...contract, label: 'commit 1a2b3c4d' }, releases: ['v1.02.0-alpha.1'] };
    const releases = [release(alpha1, contract), release(alpha2, broken())];
    expect(await judge({ current: broken(), releases, entries: [entry('v1.02.0-alpha.2')], mergeBase })).toEqual([]);
    const known = { ...mergeBase, releases: ['v1.02.0-alpha.1', 'v1.02.0-alpha.2'] };
    expect(await judge({ current: broken(), releases, entries: [entry('v1.02.0-alpha.2')], mergeBase: known })).toHaveLength(1);
  });
});

describe('the guard', () => {
  it('stands in what CI runs', verifies(['PRS-11.2-03'], () => {
    const root = new URL('../../', import.meta.url);
    const { scripts } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { scripts: Record<string, string> };
    const ci = readFileSync(new URL('.ci/run', root), 'utf8');
    expect(ci).toMatch(/^took test npm test$/m);
    expect(scripts['test']!.split(' && ')).toContain('npm run -s contract:check');
  }));
});

describe('releases', () => {
  it('puts pre-releases before their release', () => {
    const sorted = ['v1.02.0', 'v1.02.0-alpha.10', 'v1.03.0-alpha.1', 'v1.02.0-beta.1', 'v1.02.0-alpha.2'].map(parseVersion).sort(compareVersions);
    expect(sorted.map(({ text }) => text)).toEqual(['v1.02.0-alpha.2', 'v1.02.0-alpha.10', 'v1.02.0-beta.1', 'v1.02.0', 'v1.03.0-alpha.1']);
  });

  it('reads the table of breaking changes, headings and prose left out', () => {
    const markdown = '# Breaks\n\n| release | what | change | reason |\n|---|---|---|---|\n| v1.02.0-alpha.2 | `schema Run` | `enum-value-removed /a "x"` | It was never sent \\| read. |\n';
    expect(parseBreaking(markdown)).toEqual([
      { release: 'v1.02.0-alpha.2', what: 'schema Run', change: 'enum-value-removed /a "x"', reason: 'It was never sent | read.' },
    ]);
  });
});
