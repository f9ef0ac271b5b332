/** The ports that have a suite: the files of conformance/ports/suites that the index names. Read and not imported, because importing them needs Vitest's own process. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { repositoryRoot } from '../repository.ts';

const index = readFileSync(path.join(repositoryRoot, 'conformance/ports/suites/index.ts'), 'utf8');

export const suites: readonly string[] = [...index.matchAll(/^ {2}'?([a-z-]+)'?: \w+Suite,$/gm)].map((match) => match[1]!);
