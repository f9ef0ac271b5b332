/** Tenants, and judgements about rejections, that every port suite shares. */
import { expect } from 'vitest';
import { ulid } from 'ulid';
import { AgentOsError } from '../../services/platform/errors.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../services/platform/port.ts';
import { CONTRACT_MAJOR } from './contract.ts';

const ALL_SCOPES = ['runs:create', 'runs:read', 'runs:cancel', 'agents:read', 'tools:invoke', 'models:invoke', 'models:list', 'policy:check', 'tenants:admin'];

/** An auth context of a tenant that nobody used before. Registering it, where an adapter needs that, is the factory's part. */
export function freshTenant(label = 'suite'): AuthContext {
  return contextOf(`tnt_${label}_${ulid().toLowerCase()}`);
}

export function contextOf(tenantId: string, principalId = 'usr_suite'): AuthContext {
  return {
    tenant_id: tenantId,
    principal: { principal_id: principalId, principal_type: 'user' },
    scopes: [...ALL_SCOPES],
    roles: ['tenant_user'],
    policy_context: { data_classification: 'internal', region: 'local', purpose: 'conformance' },
  };
}

/** The error a promise rejects with; fails when it resolves or rejects with anything but an AgentOsError. */
export async function rejection(promise: Promise<unknown>): Promise<AgentOsError> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if (!('error' in outcome)) return expect.fail(`should have been refused, but answered ${JSON.stringify(outcome.value)}`);
  expect(outcome.error, 'ports refuse with AgentOsError').toBeInstanceOf(AgentOsError);
  return outcome.error as AgentOsError;
}

/**
 * Another tenant's object must be refused exactly as one that does not exist: same code, same message apart from the
 * id. Anything else tells a stranger that the object is there.
 */
export async function expectSameRefusal(foreign: Promise<unknown>, foreignId: string, absent: Promise<unknown>, absentId: string): Promise<void> {
  const [one, other] = await Promise.all([rejection(foreign), rejection(absent)]);
  expect(one.code).toBe('not_found');
  expect(other.code).toBe('not_found');
  const normal = (error: AgentOsError, id: string): string => JSON.stringify([error.message, error.details]).replaceAll(id, '<id>');
  expect(normal(one, foreignId)).toBe(normal(other, absentId));
}

export function expectCapabilities(capabilities: PortCapabilities): void {
  expect(capabilities.adapter).toMatch(/^[a-z][a-z0-9-]*$/);
  expect(capabilities.contractVersion.split('.')[0], 'written for another major of the port').toBe(CONTRACT_MAJOR);
  expect(typeof capabilities.durable).toBe('boolean');
  expect(new Set(capabilities.features).size).toBe(capabilities.features.length);
}

/** Milliseconds that `work` takes. */
export async function elapsedMs(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
