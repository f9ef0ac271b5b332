/** Lint of the contract: Redocly with the rules of specs/rules/, every example, and exceptions that name nothing. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundles } from './bundle.ts';
import { checkExamples } from './examples.ts';
import type { GateResult } from './gate.ts';
import { listOperations } from './openapi.ts';
import { type ServiceName, services, specsFolder } from './paths.ts';
import { runRedocly } from './redocly.ts';
import type { SchemaLibrary } from './schema-library.ts';

interface RedoclyReport {
  readonly problems: ReadonlyArray<{
    readonly ruleId: string;
    readonly severity: 'error' | 'warn';
    readonly message: string;
    readonly location: ReadonlyArray<{ readonly source: { readonly ref: string }; readonly pointer?: string }>;
  }>;
}

export async function checkLint(bundles: Bundles, library: SchemaLibrary): Promise<GateResult> {
  const reports = await Promise.all(services.map(lintService));
  const examples = checkExamples(bundles, library);
  const operations = services.flatMap((service) => listOperations(bundles[service]).map((operation) => operation.operationId));
  return {
    gate: 'lint',
    looked: `${operations.length} operations, ${examples.count} examples`,
    problems: [...reports.flat(), ...examples.problems, ...unknownExceptions(operations)],
    notes: [],
    next: 'Correct specs/, or name an exception with its reason in specs/rules/exceptions.json.',
  };
}

async function lintService(service: ServiceName): Promise<string[]> {
  const result = await runRedocly(['lint', service, '--format=json', '--max-problems=1000']);
  const start = result.stdout.indexOf('{');
  if (start === -1) throw new Error(`redocly lint ${service} gave no report:\n${result.stdout}${result.stderr}`);
  const { problems } = JSON.parse(result.stdout.slice(start)) as RedoclyReport;
  return problems.map(({ message, ruleId, location }) => {
    const place = location[0];
    return `${message} [${ruleId}] at ${place?.source.ref ?? service}${place?.pointer ?? ''}`;
  });
}

/** The plugin finds exceptions that an operation has outgrown; one that names no operation or rule at all is found here. */
function unknownExceptions(operations: readonly string[]): string[] {
  const exceptions = JSON.parse(readFileSync(join(specsFolder, 'rules', 'exceptions.json'), 'utf8')) as Array<{ rule: string; operation: string; reason: string }>;
  return exceptions.flatMap(({ rule, operation, reason }) => [
    ...(operations.includes(operation) ? [] : [`specs/rules/exceptions.json names the operation ${operation} (rule ${rule}), which no document has`]),
    ...(typeof reason === 'string' && reason.trim().length >= 10 ? [] : [`specs/rules/exceptions.json gives no reason for ${rule} of ${operation}`]),
  ]);
}
