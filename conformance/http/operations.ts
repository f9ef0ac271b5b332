/** The operation tables of all services, by service and by id. */
import { operations as agentOrchestrator } from '../../generated/handlers/agent-orchestrator.ts';
import { operations as federation } from '../../generated/handlers/federation.ts';
import { operations as modelPolicy } from '../../generated/handlers/model-policy.ts';
import type { OperationRow } from '../../services/platform/http/operation-types.ts';
import type { ServiceName } from '../harness/prism.ts';

export const operationsOf: Readonly<Record<ServiceName, readonly OperationRow[]>> = {
  'agent-orchestrator': agentOrchestrator,
  'model-policy': modelPolicy,
  federation,
};

export const serviceNames: readonly ServiceName[] = ['agent-orchestrator', 'model-policy', 'federation'];

export function operation(service: ServiceName, operationId: string): OperationRow {
  const row = operationsOf[service].find((candidate) => candidate.operationId === operationId);
  if (row === undefined) throw new Error(`${service} has no operation ${operationId}.`);
  return row;
}

/** The rows of a table that match a method and a real path. */
export function operationFor(service: ServiceName, method: string, path: string): OperationRow | undefined {
  const plain = path.split('?')[0]!;
  return operationsOf[service]
    .filter((row) => row.method === method)
    .filter((row) => new RegExp(`^${row.path.replaceAll(/[.*+?^$()|[\]\\]/g, '\\$&').replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(plain))
    .sort((a, b) => score(b.path) - score(a.path))[0];
}

/** A path with a verb suffix is meant before one whose parameter would swallow it. */
function score(path: string): number {
  return path.replaceAll(/\{\w+\}/g, '').length;
}

/** What a validator found wrong, for a failure message; empty when nothing. */
export function faultsOf(row: OperationRow, status: number, body: unknown): string[] {
  const validator = row.validateResponse[status];
  if (validator === undefined) return [`${row.operationId} does not declare status ${status}`];
  const copy = structuredClone(body);
  return validator(copy) ? [] : (validator.errors ?? []).map((error) => `${error.instancePath || '/'} ${error.message ?? error.keyword}`);
}
