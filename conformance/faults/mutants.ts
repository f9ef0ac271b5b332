/**
 * The promises of the run store and of the streams, each with what holds it up switched off. The sources have no
 * switch: a mutant exists in a test's own build alone. Each names the check of `mutant-checks.ts` that must notice.
 */
import type { Replacement } from '../harness/builds.ts';
import type { CheckName } from './mutant-checks.ts';

export interface Mutant {
  readonly name: string;
  readonly caughtBy: CheckName;
  readonly replacements: readonly Replacement[];
}

const ADAPTERS = 'services/agent-orchestrator/adapters';
const USAGE = 'services/model-policy/adapters';
const FENCE = 'AND r.lease_token = t.token AND r.step = t.step';

const PLATFORM = 'services/platform';

/** Who is let in, and by which door. */
const OF_IDENTITY: readonly Mutant[] = [
  {
    name: 'audience of service tokens',
    caughtBy: 'a token for one service opens no other',
    replacements: [{ file: `${PLATFORM}/auth/service-token.ts`, find: "algorithms: ['HS256'], audience, typ: TOKEN_TYPE", replace: "algorithms: ['HS256'], typ: TOKEN_TYPE" }],
  },
  {
    name: "audience of issuers' tokens",
    caughtBy: "a token for somebody else's audience opens nothing",
    replacements: [{ file: `${PLATFORM}/auth/jwt-verifier.ts`, find: "audience: typeof issuer.audience === 'string' ? issuer.audience : [...issuer.audience], ", replace: '' }],
  },
  {
    name: 'comparison of tenants',
    caughtBy: 'a header may not name another tenant than the credential',
    replacements: [{ file: `${PLATFORM}/auth/identity.ts`, find: 'if (named === null || named === auth.tenant_id) return auth;', replace: 'if (named !== null) return { ...auth, tenant_id: named };' }],
  },
  {
    name: 'scopes',
    caughtBy: 'a scope that a credential lacks is missed',
    replacements: [{ file: `${PLATFORM}/http/operation.ts`, find: 'if (row.scopes.every((scope) => auth.scopes.includes(scope))) return;', replace: 'if (row.scopes !== null) return;' }],
  },
  {
    name: 'suspension',
    caughtBy: 'a suspended tenant is not served',
    replacements: [{ file: `${PLATFORM}/tenancy/tenant-gate.ts`, find: "if (tenant.status !== 'active') {", replace: "if (tenant.status === 'nothing at all') {" }],
  },
  {
    name: 'expiry of keys',
    caughtBy: 'a spent key opens nothing',
    replacements: [{ file: `${PLATFORM}/auth/api-key.ts`, find: 'return same && !expired && record.revokedAt === null;', replace: 'return same && record.revokedAt === null;' }],
  },
  {
    name: 'revocation of keys',
    caughtBy: 'a spent key opens nothing',
    replacements: [{ file: `${PLATFORM}/auth/api-key.ts`, find: 'return same && !expired && record.revokedAt === null;', replace: 'return same && !expired;' }],
  },
  {
    name: 'reading of forwarded addresses from the right',
    caughtBy: 'what a client writes of its own address counts for nothing',
    replacements: [{ file: `${PLATFORM}/http/edge/trusted-proxy.ts`, find: 'if (!trusts(client)) break;', replace: '' }],
  },
  {
    name: 'count of refusals',
    caughtBy: 'guessing at credentials is brought to a stop',
    replacements: [{ file: `${PLATFORM}/http/edge/limits.ts`, find: 'if (addressKey !== null) refusals?.take(addressKey, now());', replace: '' }],
  },
  {
    name: 'door of administration',
    caughtBy: 'administration is not where everybody is',
    replacements: [{ file: `${PLATFORM}/http/server.ts`, find: 'options.separateAdmin !== true || !ofAdministration(row)', replace: 'options.separateAdmin !== true || row !== null' }],
  },
];

const TRUST = 'services/federation/trust';

/** What one node believes of another. */
const OF_PEERS: readonly Mutant[] = [
  {
    name: 'jti',
    caughtBy: 'an assertion of a peer is good for one request',
    replacements: [{ file: `${TRUST}/peer-identity.ts`, find: "if (!first) throw untrusted('it was used before');", replace: 'void first;' }],
  },
  {
    name: 'jti over processes',
    caughtBy: 'an assertion of a peer is good for one request',
    replacements: [{ file: 'services/federation/adapters/assertion-uses-postgres.ts', find: 'return rowCount === 1;', replace: 'return rowCount !== null;' }],
  },
  {
    name: "audience of peers' assertions",
    caughtBy: 'an assertion for another node opens nothing',
    replacements: [{ file: `${TRUST}/verify.ts`, find: 'audience: ownStackId,', replace: '' }],
  },
  {
    name: 'digest of the body',
    caughtBy: 'an assertion of a peer is good for its own body',
    replacements: [{ file: `${TRUST}/peer-identity.ts`, find: "if (digestOf(raw) !== digest) throw", replace: 'if (raw === null) throw' }],
  },
  {
    name: 'binding to the connection',
    caughtBy: 'an assertion is good over the connection that shows its certificate',
    replacements: [
      { file: `${TRUST}/verify.ts`, find: "if (header['x5t#S256'] !== peer.thumbprint) throw untrusted('it was signed for another certificate than the one presented');", replace: '' },
      { file: `${TRUST}/verify.ts`, find: 'const { payload } = await jwtVerify(token, publicKey, {', replace: 'const { payload } = await jwtVerify(token, (await import("node:crypto")).createPublicKey({ key: (header as unknown as { jwk: object }).jwk as never, format: "jwk" }), {' },
      { file: `${TRUST}/verify.ts`, find: "const HEADER_MEMBERS: ReadonlySet<string> = new Set(['alg', 'typ', 'x5t#S256']);", replace: "const HEADER_MEMBERS: ReadonlySet<string> = new Set(['alg', 'typ', 'x5t#S256', 'jwk']);" },
    ],
  },
  {
    name: 'rule of whom a peer may speak for',
    caughtBy: 'a peer speaks for the tenants that it may speak for',
    replacements: [{ file: `${TRUST}/peer-identity.ts`, find: "if (rules === null || !(rules.tenants === 'all' || rules.tenants.has(auth.tenant_id))) {", replace: 'if (rules === null) {' }],
  },
];

export const MUTANTS: readonly Mutant[] = [
  ...OF_IDENTITY,
  ...OF_PEERS,
  {
    name: 'fence',
    caughtBy: 'who has lost the lease writes nothing',
    replacements: [{ file: `${ADAPTERS}/run-writes-sql.ts`, find: FENCE, replace: "AND r.status = 'running' AND r.step = t.step" }],
  },
  {
    name: 'step comparison',
    caughtBy: 'a transition whose commit went unanswered is written once',
    replacements: [{ file: `${ADAPTERS}/run-writes-sql.ts`, find: FENCE, replace: 'AND r.lease_token = t.token' }],
  },
  {
    name: 'unique key',
    caughtBy: 'equal keys make one run',
    replacements: [{ file: `${ADAPTERS}/run-writes-sql.ts`, find: "WHERE i.expires_at > statement_timestamp() OR r.status IN ('queued', 'running')", replace: 'WHERE false' }],
  },
  {
    name: 'lock of the tenant',
    caughtBy: 'equal keys make one run',
    replacements: [{ file: `${ADAPTERS}/run-writes-sql.ts`, find: 'WHERE t.tenant_id = ANY ($1::text[]) ORDER BY t.tenant_id FOR UPDATE', replace: 'WHERE t.tenant_id = ANY ($1::text[]) ORDER BY t.tenant_id' }],
  },
  {
    name: 'reclaim order',
    caughtBy: 'an expired run goes before those that wait',
    replacements: [{
      file: `${ADAPTERS}/queue-postgres.ts`,
      find: 'ORDER BY lease_until LIMIT $1::int FOR UPDATE SKIP LOCKED',
      replace: "ORDER BY lease_until LIMIT greatest(0, $1::int - (SELECT count(*) FROM orchestrator.runs WHERE status = 'queued')::int) FOR UPDATE SKIP LOCKED",
    }],
  },
  {
    name: 'fence of the heartbeat',
    caughtBy: 'who has lost the lease prolongs nothing',
    replacements: [{ file: `${ADAPTERS}/queue-postgres.ts`, find: 'AND r.lease_token = l.token', replace: "AND r.status = 'running'" }],
  },
  {
    name: 'end of a hold (settle once)',
    caughtBy: 'a call is settled once, however many try',
    replacements: [{ file: `${USAGE}/usage-postgres.ts`, find: 'if (hold === undefined || hold.tenantId !== auth.tenant_id) return null;\n    this.#holds.delete(holdId);', replace: 'if (hold === undefined || hold.tenantId !== auth.tenant_id) return null;' }],
  },
  {
    // Either of the two keeps a call from being booked again.
    name: 'knowledge of what is booked (settle once)',
    caughtBy: 'a settlement whose commit went unanswered is booked once',
    replacements: [
      { file: `${USAGE}/usage-postgres-bookings.ts`, find: 'new BookingFlush(again ? await missing(pool, bookings) : bookings)', replace: 'new BookingFlush(bookings)' },
      { file: `${USAGE}/usage-postgres-sql.ts`, find: '"costMicroUsd" bigint, state text, "fallbackUsed" boolean, estimated boolean)`', replace: '"costMicroUsd" bigint, state text, "fallbackUsed" boolean, estimated boolean) ON CONFLICT DO NOTHING`' },
    ],
  },
  {
    name: 'drain wait',
    caughtBy: 'a reader that takes nothing costs no more than a page',
    replacements: [{ file: 'services/platform/http/sse.ts', find: 'if ((await drained(response, stallMs)) || gone()) continue;', replace: 'await drained(response, 0); continue;' }],
  },
  {
    name: 'tenant predicate',
    caughtBy: 'statements alone hide other tenants',
    replacements: [{ file: `${ADAPTERS}/events-postgres.ts`, find: 'WHERE r.tenant_id = s.tenant_id AND r.run_id = $2', replace: 'WHERE r.run_id = $2' }],
  },
  {
    name: 'row-level security',
    caughtBy: 'row-level security alone hides other tenants',
    replacements: [{ file: 'services/platform/db/tenant-table.ts', find: 'USING (${condition}) WITH CHECK (${condition})', replace: 'USING (true) WITH CHECK (true)' }],
  },
];
