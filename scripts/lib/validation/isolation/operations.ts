/**
 * Every operation of the contract with what a probe must know of it: the parameters that could name something of a
 * tenant, and a body that is valid. All of it is read from the contract, so that an operation that is new is walked
 * without anybody writing a line here, or, where it names something that nobody knows how to fill, fails by its name.
 */
import { readFileSync } from 'node:fs';
import { OPERATION_ACCESS } from '../../../../generated/handlers/access.ts';
import { openapiPathOf } from '../../../../services/platform/build-info.ts';
import type { ServiceName } from '../../services/catalog.ts';

export interface Operation {
  readonly service: ServiceName;
  readonly operationId: string;
  readonly method: string;
  readonly path: string;
  readonly tenancy: 'none' | 'tenant' | 'platform';
  readonly scopes: readonly string[];
  readonly planned: boolean;
  readonly pathParameters: readonly string[];
  readonly queryParameters: readonly string[];
  /** The contract's own example; null where no body is taken. */
  readonly body: unknown;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly components: { readonly parameters: Readonly<Record<string, Parameter>>; readonly examples: Readonly<Record<string, { readonly value: unknown }>> };
}
interface Parameter {
  readonly name: string;
  readonly in: string;
}
interface Declared {
  readonly operationId: string;
  readonly parameters?: readonly ({ readonly $ref: string } | Parameter)[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly example?: unknown; readonly examples?: Readonly<Record<string, { readonly $ref?: string; readonly value?: unknown }>> }>> };
}

export function contractOperations(): readonly Operation[] {
  const documents = new Map<string, Document>();
  return OPERATION_ACCESS.map((row): Operation => {
    if (!documents.has(row.service)) documents.set(row.service, JSON.parse(readFileSync(openapiPathOf(row.service as ServiceName), 'utf8')) as Document);
    const document = documents.get(row.service)!;
    const declared = document.paths[row.path]?.[row.method.toLowerCase()] as Declared | undefined;
    if (declared === undefined) throw new Error(`${row.service} ${row.operationId}: generated/openapi has no ${row.method} ${row.path}. Run npm run generate.`);
    const parameters = (declared.parameters ?? []).map((each) => ('$ref' in each ? document.components.parameters[nameOf(each.$ref)]! : each));
    const named = (place: string): string[] => parameters.filter((each) => each.in === place).map(({ name }) => name);
    return {
      service: row.service as ServiceName, operationId: row.operationId, method: row.method, path: row.path, tenancy: row.tenancy, scopes: row.scopes, planned: row.planned,
      pathParameters: named('path'), queryParameters: named('query'), body: exampleOf(declared, document),
    };
  });
}

function nameOf(ref: string): string {
  return ref.slice(ref.lastIndexOf('/') + 1);
}

function exampleOf({ requestBody }: Declared, document: Document): unknown {
  if (requestBody === undefined) return null;
  const content = requestBody.content['application/json'] ?? Object.values(requestBody.content)[0]!;
  if (content.example !== undefined) return content.example;
  const first = Object.values(content.examples ?? {})[0];
  return first?.$ref === undefined ? (first?.value ?? {}) : document.components.examples[nameOf(first.$ref)]!.value;
}
