/**
 * Who may do what: every operation × every role × every state of a credential, derived from the contract's own access
 * table (generated/handlers/access.ts). A role that the table names gets past the gate, every other one is told which
 * scope is missing; a credential that holds no more opens nothing (PRS 10.1).
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OPERATION_ACCESS, ROLES } from '../../generated/handlers/access.ts';
import { storeKeys } from '../harness/keys.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { pathOf } from '../vectors/bad-input-by-contract.ts';
import { verifies } from './verifies.ts';

type Role = keyof typeof ROLES;
const roles = Object.keys(ROLES) as Role[];
const guarded = OPERATION_ACCESS.filter((row) => row.tenancy !== 'none' && !row.planned);

let node: TestNode;
let keys: Readonly<Record<Role | 'expired' | 'revoked' | 'scopeless', string>>;
let tenant: string;
beforeAll(async () => {
  node = await startNode({ mode: 'dev', env: { AGENTOS_CONTRACT_CHECK: 'off' } });
  tenant = 'tnt_demo';
  const all = ROLES.tenant_admin.scopes;
  const ids = [...roles, 'expired', 'revoked', 'scopeless'] as const;
  const secrets = await storeKeys(node.database.url, [
    ...roles.map((role) => ({ principalId: role === 'tenant_service' ? 'svc_matrix' : 'usr_matrix', scopes: [], roles: [role] })),
    { scopes: all, expiresAt: new Date(Date.now() - 1_000).toISOString() },
    { scopes: all, revokedAt: new Date().toISOString() },
    { scopes: ['nothing:at-all'] },
  ]);
  keys = Object.fromEntries(ids.map((id, index) => [id, secrets[index]!])) as typeof keys;
});
afterAll(() => node?.close());

interface Told {
  readonly status: number;
  readonly code: string | null;
  readonly missing: readonly string[] | null;
}

type Row = (typeof OPERATION_ACCESS)[number];

/** Asks for something that there is not, without a body: what gets past the gate changes nothing. */
async function ask({ service, method, path }: Row, headers: Readonly<Record<string, string>>): Promise<Told> {
  const leave = new AbortController();
  const answer = await fetch(`${node.urls[service]}${pathOf({ path }, 'absent')}`, { method, headers, signal: AbortSignal.any([leave.signal, AbortSignal.timeout(20_000)]) });
  const isJson = (answer.headers.get('content-type') ?? '').startsWith('application/json');
  const body = isJson ? ((await answer.json()) as { error?: { code: string; details?: { missing_scopes?: string[] } } }) : null;
  leave.abort();
  return { status: answer.status, code: body?.error?.code ?? null, missing: body?.error?.details?.missing_scopes ?? null };
}

const named = guarded.map((row) => [`${row.service} ${row.operationId}`, row] as const);

describe('every operation', () => {
  it('has roles that may and, but for those open to all, roles that may not', () => {
    expect(guarded.length).toBeGreaterThan(80);
    for (const row of guarded) {
      expect(row.roles.length, row.operationId).toBeGreaterThan(0);
      if (row.scopes.length > 0) expect(row.roles.length, row.operationId).toBeLessThan(roles.length + 1);
    }
  });

  it.each(named)('%s lets in the roles that the contract names, and tells the others what is missing', verifies(['PRS-10.1-01', 'PRS-10.1-02', 'PRS-10.1-04', 'PRS-10.1-07'], async (_name: string, row: Row) => {
    for (const role of roles) {
      const told = await ask(row, { 'x-api-key': keys[role] });
      if ((row.roles as readonly string[]).includes(role)) {
        expect([401, 405, 501], `${role}: ${JSON.stringify(told)}`).not.toContain(told.status);
        expect(told.missing, `${role} lacks a scope`).toBeNull();
        expect(told.status, role).toBeLessThan(500);
      } else {
        expect([told.status, told.code], role).toEqual([403, 'forbidden']);
        expect(told.missing?.length, role).toBeGreaterThan(0);
      }
    }
  }));

  it.each(named)('%s opens to no credential that is missing, spent, of another scope or of another tenant', verifies(['PRS-10.1-06', 'PRS-13-09', 'SEC-01'], async (_name: string, row: Row) => {
    const [best = 'tenant_admin'] = row.roles as readonly Role[];
    expect((await ask(row, {})).status, 'no credential').toBe(401);
    expect((await ask(row, { 'x-tenant-id': tenant, 'x-principal-id': 'usr_platform_admin', 'x-scopes': row.scopes.join(' ') })).status, 'headers alone').toBe(401);
    expect((await ask(row, { 'x-api-key': keys.expired })).status, 'an expired key').toBe(401);
    expect((await ask(row, { 'x-api-key': keys.revoked })).status, 'a revoked key').toBe(401);
    expect((await ask(row, { 'x-api-key': `${keys[best].slice(0, -6)}AAAAAA` })).status, 'a key with another secret').toBe(401);
    const elsewhere = await ask(row, { 'x-api-key': keys.tenant_admin, 'x-tenant-id': 'tnt_elsewhere' });
    expect([elsewhere.status, elsewhere.code], 'another tenant').toEqual([400, 'tenant_mismatch']);
    if (row.scopes.length > 0) expect((await ask(row, { 'x-api-key': keys.scopeless })).status, 'another scope').toBe(403);
  }));
});
