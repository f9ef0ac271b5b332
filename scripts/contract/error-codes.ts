/** `specs/schemas/error-codes.json` → the constant that the error model and the SDK are built on (Appendix A.3). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type GeneratedFiles, specsFolder, typescriptHeader } from './paths.ts';

export interface ErrorCodeRow {
  /** HTTP status when nothing more specific applies. */
  readonly status: number;
  readonly statuses: readonly number[];
  readonly retryable: boolean;
  readonly meaning: string;
}

export function readErrorCodes(folder = specsFolder): Record<string, ErrorCodeRow> {
  const file = join(folder, 'schemas', 'error-codes.json');
  const { codes } = JSON.parse(readFileSync(file, 'utf8')) as { codes: Record<string, ErrorCodeRow> };
  for (const [code, row] of Object.entries(codes)) {
    if (!row.statuses.includes(row.status)) {
      throw new Error(`${file}: code ${code} has status ${row.status}, which its statuses [${row.statuses.join(', ')}] do not list. Add it there.`);
    }
  }
  return codes;
}

export function generateErrorCodes(): GeneratedFiles {
  const rows = Object.entries(readErrorCodes())
    .map(([code, row]) => {
      const members = `status: ${row.status}, statuses: [${row.statuses.join(', ')}], retryable: ${row.retryable}, meaning: ${JSON.stringify(row.meaning)}`;
      return `  ${code}: { ${members} },`;
    })
    .join('\n');
  const text = `${typescriptHeader()}
/** Every code that the platform emits. Readers must survive codes that are not listed here: the set grows. */
export const ERROR_CODES = {
${rows}
} as const satisfies Record<string, ErrorCodeRow>;

export interface ErrorCodeRow {
  /** HTTP status when nothing more specific applies. */
  readonly status: number;
  /** Every status that the code may carry. */
  readonly statuses: readonly number[];
  /** Whether the same request can succeed later. */
  readonly retryable: boolean;
  readonly meaning: string;
}

export type ErrorCode = keyof typeof ERROR_CODES;
`;
  return new Map([['generated/types/error-codes.ts', text]]);
}
