/**
 * Bad input that follows from the contract alone, for each operation that is built: every fault of a body wherever a
 * body is taken, every impossible identifier wherever a path has one, every wrong method on every path. An operation
 * that is new is tried from the day it is in the table.
 */
import type { OperationRow } from '../../services/platform/http/operation-types.ts';
import type { ServiceName } from '../harness/prism.ts';
import { BODY_FAULTS, TYPE_FAULTS, type BadInput } from './bad-input.ts';

const TENANT = ['X-Tenant-Id', 'tnt_demo'] as const;
const JSON_TYPE = ['Content-Type', 'application/json'] as const;

/** What only a body that is required can lack. */
const ABSENCES = new Set(['nothing']);

/** Identifiers that nothing can have, and what each is answered with before any handler is asked. */
const IMPOSSIBLE_IDS: ReadonlyArray<readonly [name: string, id: string, status: number, code: string]> = [
  ['a bad percent escape', '%zz', 400, 'invalid_request'],
  ['a cut percent escape', 'x_%', 400, 'invalid_request'],
  ['an escape that is no UTF-8', '%ff%fe', 400, 'invalid_request'],
  ['a NUL', 'x_%00', 404, 'not_found'],
  ['a path in disguise', '..%2f..%2fetc%2fpasswd', 404, 'not_found'],
  ['a backslash', '..%5c..%5cetc', 404, 'not_found'],
  ['dots', '%2e%2e', 404, 'not_found'],
  ['a line break', 'x_%0d%0aX-Injected:%20yes', 404, 'not_found'],
  ['an id of 15 KB', 'x'.repeat(15_000), 404, 'not_found'],
];

const METHODS: readonly OperationRow['method'][] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

/** @param last in the place of the last parameter of the path, where there are several. */
export function pathOf(row: Pick<OperationRow, 'path'>, last: string): string {
  return row.path.replace(/\{[^}]+\}(?=[^{]*$)/, () => last).replaceAll(/\{[^}]+\}/g, 'absent');
}

export function badInputsByContract(service: ServiceName, rows: readonly OperationRow[]): readonly BadInput[] {
  const served = rows.filter((row) => !row.planned);
  return [...served.flatMap((row) => (row.body === null ? [] : ofBody(service, row))), ...served.flatMap((row) => ofPath(service, row)), ...ofMethods(service, rows)];
}

/** As whom the operation is called, so that nothing but the input is wrong. */
function caller(row: OperationRow): { readonly as: 'tenant' | 'platform'; readonly headers: ReadonlyArray<readonly [string, string]> } {
  return row.tenancy === 'platform' ? { as: 'platform', headers: [TENANT, ['X-Scopes', row.scopes.join(' ')]] } : { as: 'tenant', headers: [TENANT] };
}

function ofBody(service: ServiceName, row: OperationRow): BadInput[] {
  const { as, headers } = caller(row);
  const { method } = row;
  const path = pathOf(row, 'absent');
  const common = { service, operation: row.operationId, as };
  return [
    ...BODY_FAULTS.filter((fault) => row.body!.required || !ABSENCES.has(fault.name)).map((fault): BadInput => ({
      ...common, name: `body: ${fault.name}`, status: fault.status, code: fault.code,
      request: { method, path, headers: [...headers, JSON_TYPE, ...(fault.headers ?? [])], body: fault.body({ name: 'x' }) },
    })),
    ...TYPE_FAULTS.map((fault): BadInput => ({
      ...common, name: `type: ${fault.name}`, status: 415, code: 'invalid_request',
      request: { method, path, headers: [...headers, ...fault.headers], body: '{"name":"x"}' },
    })),
  ];
}

function ofPath(service: ServiceName, row: OperationRow): BadInput[] {
  if (!row.path.includes('{')) return [];
  const { as, headers } = caller(row);
  // Where an identifier may hold slashes, one in disguise is no fault.
  const ids = IMPOSSIBLE_IDS.filter(([name]) => row.slashed !== true || !/disguise|backslash/.test(name));
  return ids.map(([name, id, status, code]): BadInput => ({
    // Such a path leads to no operation, whose own answers it could be held to.
    name: `path of ${row.operationId}: ${name}`, service, operation: '-', as, status, code, request: { method: row.method, path: pathOf(row, id), headers },
  }));
}

function ofMethods(service: ServiceName, rows: readonly OperationRow[]): BadInput[] {
  const paths = new Map<string, OperationRow[]>();
  for (const row of rows) paths.set(row.path, [...(paths.get(row.path) ?? []), row]);
  return [...paths].flatMap(([path, taken]) =>
    METHODS.filter((method) => taken.every((row) => row.method !== method)).map((method): BadInput => ({
      name: `method: ${method} ${path}`, service, operation: '-', as: caller(taken[0]!).as, status: 405, code: 'method_not_allowed', header: ['allow', new RegExp(`\\b${taken[0]!.method}\\b`)],
      request: { method, path: pathOf(taken[0]!, 'absent'), headers: [TENANT] },
    })),
  );
}
