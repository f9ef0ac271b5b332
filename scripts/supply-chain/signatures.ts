/**
 * Whether the registry signed what is installed (`npm audit signatures`), told apart from whether that could be asked.
 * npm ends with 1 for both; a release gate must not pass because the network was away, nor be blamed for it.
 *
 * Exit code 0: every package holds. 1: a signature does not hold, or is missing where the registry gives keys. 4: it
 * could not be checked, since the registry, or the place its keys are published at (the TUF repository of sigstore), was
 * not reached or gives no signatures.
 */
import { pathToFileURL } from 'node:url';
import { $ } from 'zx';

export interface SignatureVerdict {
  readonly exitCode: 0 | 1 | 4;
  readonly text: string;
}

interface Package {
  readonly name: string;
  readonly version: string;
  readonly registry?: string;
}

/** @param stdout of `npm audit signatures --json` */
export function judgeSignatures(stdout: string, stderr: string): SignatureVerdict {
  const answer = parse(stdout);
  if (answer === null || !Array.isArray(answer.invalid) || !Array.isArray(answer.missing)) {
    const reason = answer?.error?.summary ?? answer?.error?.code ?? stderr.split('\n').find((line) => line.startsWith('npm error')) ?? 'npm said nothing that can be read';
    const host = /https?:\/\/([^/\s]+)/.exec(`${reason} ${stderr}`)?.[1];
    return {
      exitCode: 4,
      text: `Signatures could not be checked; nothing was refused.\n  ${reason.trim()}\nnext: ${host === undefined ? 'try again where the registry and tuf-repo-cdn.sigstore.dev can be reached' : `try again where ${host} can be reached`}, before a release at the latest`,
    };
  }
  const told = (what: string, packages: readonly Package[]): string[] => packages.map(({ name, version, registry }) => `  ${what}  ${name}@${version}${registry === undefined ? '' : `  ${registry}`}`);
  const refused = [...told('invalid', answer.invalid), ...told('missing', answer.missing)];
  if (refused.length === 0) return { exitCode: 0, text: 'The registry signed every package that is installed.' };
  return { exitCode: 1, text: [`${refused.length} package${refused.length === 1 ? ' is' : 's are'} not as the registry signed ${refused.length === 1 ? 'it' : 'them'}:`, ...refused, 'next: rm -rf node_modules && npm ci; if it stays so, do not release'].join('\n') };
}

interface NpmAnswer {
  readonly invalid?: readonly Package[];
  readonly missing?: readonly Package[];
  readonly error?: { readonly code?: string; readonly summary?: string };
}

function parse(text: string): NpmAnswer | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : null;
  } catch {
    return null;
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { stdout, stderr } = await $({ nothrow: true, quiet: true })`npm audit signatures --json --fetch-retries=1 --fetch-retry-mintimeout=1000`;
  const { exitCode, text } = judgeSignatures(stdout, stderr);
  process[exitCode === 0 ? 'stdout' : 'stderr'].write(`${text}\n`);
  process.exitCode = exitCode;
}
