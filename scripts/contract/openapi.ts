/** The slice of OpenAPI 3.1 that generation, lint and gates read. Bundled documents only: every $ref is internal. */

export type JsonSchema = { readonly [keyword: string]: unknown };

export interface MediaType {
  readonly schema?: JsonSchema;
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value?: unknown; readonly $ref?: string }>>;
}
export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header' | 'cookie';
  readonly required?: boolean;
  readonly description?: string;
  readonly schema?: JsonSchema;
}
export interface RequestBody {
  readonly required?: boolean;
  readonly content: Readonly<Record<string, MediaType>>;
}
export interface Response {
  readonly description?: string;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly content?: Readonly<Record<string, MediaType>>;
}
export interface Operation {
  readonly operationId: string;
  readonly summary?: string;
  readonly parameters?: ReadonlyArray<Parameter | { readonly $ref: string }>;
  readonly requestBody?: RequestBody | { readonly $ref: string };
  readonly responses: Readonly<Record<string, Response | { readonly $ref: string }>>;
  readonly [extension: `x-${string}`]: unknown;
}
export interface OpenApiDocument {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, PathItem>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, JsonSchema>>; readonly [kind: string]: unknown };
}
export type PathItem = Readonly<Partial<Record<LowerMethod, Operation>>> & { readonly parameters?: Operation['parameters'] };

export const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;
export type LowerMethod = (typeof METHODS)[number];

/** One operation with its references resolved and the path's shared parameters merged in. */
export interface OperationView {
  readonly operationId: string;
  readonly path: string;
  readonly method: LowerMethod;
  readonly parameters: readonly Parameter[];
  readonly requestBody: RequestBody | null;
  /** By status, in ascending order; `default` last. */
  readonly responses: ReadonlyArray<readonly [status: string, response: Response]>;
  readonly node: Operation;
}

/** Follows an internal JSON pointer; throws when it leads nowhere. */
function resolveRef<T>(document: unknown, ref: string): T {
  let node: unknown = document;
  for (const part of ref.replace(/^#\/?/, '').split('/').filter((piece) => piece !== '')) {
    const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof node !== 'object' || node === null || !(key in node)) {
      throw new Error(`$ref ${ref} leads nowhere: there is no member ${JSON.stringify(key)}. Check the spelling in specs/.`);
    }
    node = (node as Record<string, unknown>)[key];
  }
  return node as T;
}

export function dereference<T extends object>(document: unknown, node: T | { readonly $ref: string }): T {
  let current: unknown = node;
  while (typeof current === 'object' && current !== null && '$ref' in current) {
    current = resolveRef(document, (current as { $ref: string }).$ref);
  }
  return current as T;
}

/** Every operation of a bundled document, sorted by path, then by method. */
export function listOperations(document: OpenApiDocument): OperationView[] {
  const views: OperationView[] = [];
  for (const path of Object.keys(document.paths).sort()) {
    const item = document.paths[path]!;
    for (const method of METHODS) {
      const node = item[method];
      if (node !== undefined) views.push(viewOperation(document, path, method, node, item.parameters ?? []));
    }
  }
  return views;
}

function viewOperation(
  document: OpenApiDocument,
  path: string,
  method: LowerMethod,
  node: Operation,
  shared: NonNullable<Operation['parameters']>,
): OperationView {
  const parameters = new Map<string, Parameter>();
  for (const entry of [...shared, ...(node.parameters ?? [])]) {
    const parameter = dereference<Parameter>(document, entry);
    parameters.set(`${parameter.in} ${parameter.name}`, parameter);
  }
  return {
    operationId: node.operationId,
    path,
    method,
    parameters: [...parameters.values()],
    requestBody: node.requestBody === undefined ? null : dereference<RequestBody>(document, node.requestBody),
    responses: Object.keys(node.responses)
      .sort()
      .map((status) => [status, dereference<Response>(document, node.responses[status]!)] as const),
    node,
  };
}

/** The operation that this one is another path of, or null. */
export function aliasOf(operation: OperationView): string | null {
  const target = operation.node['x-agentos-alias-of'];
  return typeof target === 'string' ? target : null;
}

export function isPlanned(operation: OperationView): boolean {
  return operation.node['x-agentos-status'] === 'planned';
}

export function isJson(contentType: string): boolean {
  return /^application\/([\w.-]+\+)?json\b/.test(contentType);
}

/** The statuses of success, as numbers. A `default` response counts for nothing: it declares no status. */
export function declaredStatuses(operation: OperationView): number[] {
  return operation.responses.map(([status]) => Number(status)).filter((status) => Number.isInteger(status));
}
