/** Holding answers to the contract: the status is declared for the operation, the body fits its schema. */
import { AgentOsError } from '../errors.ts';
import type { OperationRow } from './operation-types.ts';
import { faultsOf } from './validation.ts';

export interface AnswerFault {
  readonly reason: 'undeclared_status' | 'contract_violation';
  readonly message: string;
}

/** null when the answer is what the contract declares. */
export function findAnswerFault(row: OperationRow, status: number, body: unknown): AnswerFault | null {
  if (!row.statuses.includes(status)) {
    return { reason: 'undeclared_status', message: `${row.operationId} answered ${status}; the contract declares ${row.statuses.join(', ')}` };
  }
  const validator = row.validateResponse[status];
  if (validator === undefined || body === undefined || validator(body)) return null;
  const faults = faultsOf(validator).map((fault) => `${fault.path === '' ? '(root)' : fault.path} ${fault.message}`);
  return { reason: 'contract_violation', message: `the ${status} answer of ${row.operationId} does not fit its schema: ${faults.join('; ')}` };
}

/** Our fault: logged with what is wrong, answered as 500 with the bare reason. */
export function contractViolation(row: OperationRow, fault: AnswerFault): AgentOsError {
  return new AgentOsError('internal_error', {
    message: 'The answer did not fit the contract and was withheld. Quote the correlation id when you report this.',
    retryable: false,
    details: { reason: fault.reason, operation: row.operationId },
    cause: new Error(fault.message),
  });
}
