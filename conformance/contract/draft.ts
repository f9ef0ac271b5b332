/** A copy of the real contract that a test may change, in the schemas and in the bundles that carry them alike. */
import { type Contract, readContract } from '../../scripts/contract/contract-model.ts';
import { type ServiceName, services } from '../../scripts/contract/paths.ts';

// The point of a draft is to hold what the types of a contract forbid.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Loose = any;

export interface Draft {
  label: string;
  openapi: Record<ServiceName, Loose>;
  schemas: Record<string, Loose>;
  errorCodes: Record<string, Loose>;
  access: Loose;
  eventTypes: Loose[];
}

let original: Promise<Contract> | undefined;

/** The contract as the specs say it, read once. */
export function realContract(): Promise<Contract> {
  original ??= readContract();
  return original;
}

export function draftOf(contract: Contract): Draft {
  return structuredClone(contract) as Draft;
}

export function asContract(draft: Draft, label = 'the draft'): Contract {
  return { ...draft, label } as unknown as Contract;
}

/** Changes one schema wherever it stands. */
export function editSchema(draft: Draft, name: string, change: (schema: Loose) => void): void {
  if (draft.schemas[name] === undefined) throw new Error(`There is no schema ${name} to change; the contract has moved on, adapt this test.`);
  change(draft.schemas[name]);
  for (const service of services) {
    const component = draft.openapi[service].components.schemas[name];
    if (component !== undefined) change(component);
  }
}

/** Adds a schema to the library and, since a changed schema there may refer to it, to each bundle. */
export function addSchema(draft: Draft, name: string, schema: Loose): void {
  draft.schemas[name] = schema;
  for (const service of services) draft.openapi[service].components.schemas[name] = schema;
}

/** The operation object of an operationId. */
export function operation(draft: Draft, operationId: string): Loose {
  return find(draft, operationId).node;
}

export function removeOperation(draft: Draft, operationId: string): void {
  const { item, method } = find(draft, operationId);
  delete item[method];
}

/** Gives an operation another path. */
export function moveOperation(draft: Draft, operationId: string, path: string): void {
  const { item, method, node, paths } = find(draft, operationId);
  delete item[method];
  paths[path] = { ...paths[path], [method]: node };
}

function find(draft: Draft, operationId: string): { paths: Loose; item: Loose; method: string; node: Loose } {
  for (const service of services) {
    const { paths } = draft.openapi[service];
    for (const item of Object.values<Loose>(paths)) {
      for (const [method, node] of Object.entries<Loose>(item)) if (node?.operationId === operationId) return { paths, item, method, node };
    }
  }
  throw new Error(`There is no operation ${operationId} to change; the contract has moved on, adapt this test.`);
}
