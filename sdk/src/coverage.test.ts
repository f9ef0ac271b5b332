/** Every operation of the contract that is served has a method here; what the resources call is read from their source. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { OPERATION_ACCESS, type OperationAccess } from '../../generated/handlers/access.ts';

/** Operations whose work another one does in full: a second method would be a second name for it. */
const SAME_AS: Readonly<Record<string, string>> = {
  'agent-orchestrator replaceTenant': 'agent-orchestrator updateTenant',
  'agent-orchestrator createRunForAgent': 'agent-orchestrator createRun',
  'agent-orchestrator getPeerInfo': 'federation getPeerInfo',
  'agent-orchestrator getPeerCapabilities': 'federation getPeerCapabilities',
};

const SERVICE_OF_CLIENT: Readonly<Record<string, string>> = { orchestrator: 'agent-orchestrator', modelPolicy: 'model-policy', federation: 'federation' };

const resources = new URL('./resources/', import.meta.url);
const sources = readdirSync(resources).map((file) => readFileSync(new URL(file, resources), 'utf8'));
const called = new Set(
  sources.flatMap((source) => [...source.matchAll(/\b(orchestrator|modelPolicy|federation)\.([A-Z]+)\('([^']+)'/g)].map(([, client, method, path]) => `${SERVICE_OF_CLIENT[client!]} ${method} ${path}`)),
);

const nameOf = ({ service, operationId }: OperationAccess): string => `${service} ${operationId}`;
const isCalled = ({ service, method, path }: OperationAccess): boolean => called.has(`${service} ${method} ${path}`);
/** The operation by any of its paths. */
const isCovered = (name: string): boolean =>
  OPERATION_ACCESS.some((operation) => isCalled(operation) && (nameOf(operation) === name || `${operation.service} ${operation.aliasOf}` === name));

/** Health, readiness and metrics need no credential, and are for probes. */
const served = OPERATION_ACCESS.filter(({ aliasOf, planned, tenancy }) => aliasOf === null && !planned && tenancy !== 'none').map(nameOf);

describe('the methods of the client', () => {
  it('cover the contract', () => {
    expect(served.length).toBeGreaterThan(80);
    expect(served.filter((name) => SAME_AS[name] === undefined && !isCovered(name))).toEqual([]);
  });

  it('call nothing that is not served', () => {
    const known = new Set(OPERATION_ACCESS.filter(({ planned }) => !planned).map(({ service, method, path }) => `${service} ${method} ${path}`));
    expect([...called].filter((call) => !known.has(call))).toEqual([]);
  });

  it.each(Object.entries(SAME_AS))('%s is done by %s', (name, other) => {
    expect(served).toContain(name);
    expect([isCovered(name), isCovered(other)]).toEqual([false, true]);
  });
});
