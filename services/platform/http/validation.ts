/** Running the generated validators over a request, and telling the caller where it does not fit. */
import { AgentOsError } from '../errors.ts';
import type { OperationRow, Validator } from './operation-types.ts';
import type { Query } from './router.ts';
import type { IncomingHttpHeaders } from 'node:http';

export interface UnvalidatedRequest {
  readonly path: Record<string, string>;
  readonly query: Query;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

export interface ValidatedRequest {
  readonly path: unknown;
  readonly query: unknown;
  readonly body: unknown;
}

export interface Fault {
  /** JSON pointer into the part that `part` names. */
  readonly path: string;
  readonly message: string;
}

/** More would only repeat the same mistake. */
const MAX_FAULTS = 16;

/** @throws AgentOsError invalid_request with details.errors. */
export function validateRequest(row: OperationRow, { path, query, headers, body }: UnvalidatedRequest): ValidatedRequest {
  if (row.validatePath !== null && !row.validatePath(path)) throw misfit('path', row.validatePath);
  if (row.validateQuery !== null && !row.validateQuery(query)) throw misfit('query', row.validateQuery);
  // The validator coerces in place, and the request's own headers must stay as they were sent.
  if (row.validateHeaders !== null && !row.validateHeaders({ ...headers })) throw misfit('headers', row.validateHeaders);
  if (row.validateBody !== null && body !== undefined && !row.validateBody(body)) throw misfit('body', row.validateBody);
  return { path, query, body };
}

/** Which places do not fit and why, without the values, which may be secret. */
export function faultsOf(validator: Validator): readonly Fault[] {
  const errors = validator.errors ?? [];
  const telling = errors.filter((error) => !isFrame(error));
  const faults = telling.filter((error) => !lacksOtherForm(error) || telling.every(lacksOtherForm));
  return (faults.length > 0 ? faults : errors).slice(0, MAX_FAULTS).map(toFault);
}

type ValidatorError = NonNullable<Validator['errors']>[number];

/** That a branch failed, or that no form fits, says nothing beside what failed in it. */
const isFrame = ({ keyword }: ValidatorError): boolean => keyword === 'if' || keyword === 'anyOf' || keyword === 'not';

/** Who sends a body in one of two forms is to read what is wrong with it, not that it could have had the other one. */
const lacksOtherForm = ({ keyword, instancePath, schemaPath }: ValidatorError): boolean => keyword === 'required' && instancePath === '' && /^#\/anyOf\/\d+\/required$/.test(schemaPath);

function toFault({ keyword, params, instancePath, message }: ValidatorError): Fault {
  if (keyword === 'required' && typeof params.missingProperty === 'string') return { path: `${instancePath}/${escaped(params.missingProperty)}`, message: message ?? 'is missing' };
  if (keyword === 'additionalProperties' && typeof params.additionalProperty === 'string') return { path: `${instancePath}/${escaped(params.additionalProperty)}`, message: 'is not a known member' };
  return { path: instancePath, message: message ?? `fails ${keyword}` };
}

function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

function misfit(part: 'path' | 'query' | 'headers' | 'body', validator: Validator): AgentOsError {
  const faults = faultsOf(validator);
  const first = faults[0] ?? { path: '', message: 'does not fit' };
  const errors = part === 'body' ? faults : faults.map((fault) => ({ path: `/${part}${fault.path}`, message: fault.message }));
  const where = part === 'body' ? 'body' : part === 'headers' ? 'headers' : part;
  return new AgentOsError('invalid_request', {
    message: `The request ${where} does not fit the contract: ${first.path === '' ? 'it' : first.path} ${first.message}.`,
    details: { errors },
  });
}
