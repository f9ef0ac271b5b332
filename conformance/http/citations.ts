/**
 * Reads which requirements the sources cite, without running a test.
 *
 * The scan looks for calls of `verifies` whose first argument is a literal id or an array of literal ids. A call of any
 * other form is reported: a citation that the scan cannot read would be a hole in the coverage report.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { isRequirement, requirements, type Requirement } from './requirements.ts';

const ROOTS = ['conformance', 'services', 'sdk', 'scripts', 'examples', 'specs'];
const SKIPPED = new Set(['node_modules', 'dist', '.agentos', 'generated']);
const DEFINITIONS = new Set(['conformance/http/verifies.ts', 'conformance/http/citations.ts', 'conformance/http/coverage.ts', 'conformance/http/coverage.test.ts']);

export interface Citation {
  readonly id: string;
  /** Path from the repository's root, with the line. */
  readonly where: string;
}

export interface CitationScan {
  readonly citations: readonly Citation[];
  /** Calls whose ids are not literals. */
  readonly unreadable: readonly string[];
}

function* typescriptFiles(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (SKIPPED.has(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* typescriptFiles(path);
    else if (entry.name.endsWith('.ts')) yield path;
  }
}

const CALL = /\bverifies\(\s*/g;
const LITERALS = /^(?:'[^']+'|\[\s*(?:'[^']+'\s*,?\s*)+\])\s*,/;

function scanText(text: string, path: string): { citations: Citation[]; unreadable: string[] } {
  const citations: Citation[] = [];
  const unreadable: string[] = [];
  for (const call of text.matchAll(CALL)) {
    const lineStart = text.lastIndexOf('\n', call.index) + 1;
    if (/^\s*(\*|\/\/)/.test(text.slice(lineStart, call.index))) continue;
    const where = `${path}:${text.slice(0, call.index).split('\n').length}`;
    const literals = LITERALS.exec(text.slice(call.index + call[0].length));
    if (literals === null) unreadable.push(where);
    else for (const quoted of literals[0].matchAll(/'([^']+)'/g)) citations.push({ id: quoted[1]!, where });
  }
  return { citations, unreadable };
}

export function scanCitations(root: string): CitationScan {
  const citations: Citation[] = [];
  const unreadable: string[] = [];
  for (const folder of ROOTS) {
    for (const file of typescriptFiles(join(root, folder))) {
      const path = relative(root, file);
      if (DEFINITIONS.has(path)) continue;
      const found = scanText(readFileSync(file, 'utf8'), path);
      citations.push(...found.citations);
      unreadable.push(...found.unreadable);
    }
  }
  return { citations, unreadable };
}

export interface Coverage {
  readonly unknown: readonly Citation[];
  /** Listed as gaps although a test cites them. */
  readonly staleGaps: readonly string[];
  /** Listed as gaps although there is no such requirement. */
  readonly unknownGaps: readonly string[];
  /** Neither cited nor listed. */
  readonly missing: readonly Requirement[];
}

/** `gaps`: requirement id to the reason why no test cites it yet. */
export function judgeCoverage(citations: readonly Citation[], gaps: Readonly<Record<string, string>>): Coverage {
  const cited = new Set(citations.map((citation) => citation.id));
  return {
    unknown: citations.filter((citation) => !isRequirement(citation.id)),
    staleGaps: Object.keys(gaps).filter((id) => cited.has(id)),
    unknownGaps: Object.keys(gaps).filter((id) => !isRequirement(id)),
    missing: requirements.filter((requirement) => !cited.has(requirement.id) && !(requirement.id in gaps)),
  };
}
