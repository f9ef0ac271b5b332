/**
 * `agentos validate --isolation`: whether two tenants see anything of each other (PRS 13.9, 15).
 *
 * Two tenants are made on the running node, one is filled with everything that a tenant can have, and every operation of
 * the contract is asked as the other one — for what the first has and for what nobody has, which must be answered alike
 * — and as nobody, with keys that have expired, were revoked, hold another scope, or name the wrong tenant. No answer may
 * hold a word of the first tenant's, and in the end the first tenant must find everything as it was.
 */
import { must } from '../checks.ts';
import { differenceOf, likenessOf, seenOf } from './judge.ts';
import { jsonOf, type Asked, type IsolationNode, type Reply } from './node.ts';
import { contractOperations, type Operation } from './operations.ts';
import { inSafeOrder, probesOf, requestOf, unknownParameters } from './probes.ts';
import { absentTwins, asKey, fillTenant, makeSpentKeys, makeTenant, removeTenant, type Holdings, type SpentKeys, type TestTenant } from './tenants.ts';

/** Operations between two words of progress. */
const MILESTONE = 25;

export interface IsolationReport {
  readonly tenants: readonly string[];
  readonly operations: ReadonlyArray<{ service: string; operation: string; checks: number; outcome: 'isolated' | 'leaked' | 'open' | 'failed' }>;
  /** `service operationId` of what nobody knew how to ask. */
  readonly uncovered: readonly string[];
  readonly leaks: ReadonlyArray<{ service: string; operation: string; what: string }>;
  /** What kept an operation from proving anything. */
  readonly failures: ReadonlyArray<{ service: string; operation: string; what: string }>;
}

interface Walk {
  readonly node: IsolationNode;
  readonly owner: TestTenant;
  readonly stranger: TestTenant;
  readonly spent: SpentKeys;
  readonly holdings: Holdings;
  readonly twins: Holdings;
  readonly tell: (detail: string) => void;
  /** All that the stranger has said so far; its own audit trail may repeat it. */
  readonly said: string[];
}

type Finding = { readonly kind: 'leak' | 'failure'; readonly what: string };

/** @throws when the tenants cannot be made or filled: then nothing was proven. */
export async function checkIsolation(node: IsolationNode, tell: (detail: string) => void = () => undefined): Promise<IsolationReport> {
  const made: TestTenant[] = [];
  try {
    tell('making two tenants');
    for (const name of ['a', 'b']) made.push(await makeTenant(node, name));
    const [owner, stranger] = made as [TestTenant, TestTenant];
    const holdings = await fillTenant(node, owner);
    const spent = await makeSpentKeys(node, stranger);
    return await walkAll({ node, owner, stranger, spent, holdings, twins: absentTwins(holdings), tell, said: [] });
  } finally {
    for (const tenant of made) await removeTenant(node, tenant);
  }
}

async function walkAll(walk: Walk): Promise<IsolationReport> {
  const { holdings, owner, stranger } = walk;
  const all = contractOperations();
  const uncovered = all.filter((operation) => unknownParameters(operation, holdings).length > 0);
  const covered = inSafeOrder(all.filter((operation) => !uncovered.includes(operation)));
  const before = await likenesses(walk, covered);
  const found = new Map(covered.map((operation) => [operation, { checks: 0, findings: [] as Finding[] }]));
  const noteFor = (operation: Operation): Note => (finding) => {
    const entry = found.get(operation)!;
    entry.checks += 1;
    if (finding !== null) entry.findings.push(finding);
  };
  // Before the stranger has named anything of the owner's, so that nothing it sees can be an echo of its own words.
  for (const operation of covered.filter(isList)) await showsNothingOf(walk, operation, stranger, owner, noteFor(operation));
  for (const [index, operation] of covered.entries()) {
    // A milestone now and then: each operation gets its line in the result.
    if (index > 0 && index % MILESTONE === 0) walk.tell(`${index} of ${covered.length} operations asked`);
    await walkOne(walk, operation, noteFor(operation));
  }
  for (const operation of covered.filter(isList)) await showsNothingOf(walk, operation, owner, stranger, noteFor(operation));
  const after = await likenesses(walk, covered);
  for (const [operation, likeness] of before) {
    const entry = found.get(operation)!;
    entry.checks += 1;
    if (!likeness.startsWith('200 ')) entry.findings.push({ kind: 'failure', what: `the owner itself is answered ${likeness.slice(0, 3)}, so nothing is proven` });
    else if (after.get(operation) !== likeness) entry.findings.push({ kind: 'leak', what: 'what the owner has was changed by the other tenant' });
  }
  const of = (kind: Finding['kind']) => [...found].flatMap(([{ service, operationId }, { findings }]) => findings.filter((finding) => finding.kind === kind).map(({ what }) => ({ service, operation: operationId, what })));
  return {
    tenants: [owner.tenantId, stranger.tenantId],
    operations: [...found].map(([operation, { checks, findings }]) => ({ service: operation.service, operation: operation.operationId, checks, outcome: outcomeOf(operation, findings) })),
    uncovered: uncovered.map((operation) => `${operation.service} ${operation.operationId} (${unknownParameters(operation, holdings).join(', ')})`),
    leaks: of('leak'),
    failures: of('failure'),
  };
}

function outcomeOf({ tenancy }: Operation, findings: readonly Finding[]): IsolationReport['operations'][number]['outcome'] {
  if (findings.some(({ kind }) => kind === 'leak')) return 'leaked';
  if (findings.length > 0) return 'failed';
  return tenancy === 'none' ? 'open' : 'isolated';
}

/** What the owner reads of each thing that it has. */
async function likenesses({ node, owner, holdings }: Walk, operations: readonly Operation[]): Promise<Map<Operation, string>> {
  const result = new Map<Operation, string>();
  for (const operation of operations) {
    const itsOwn = operation.tenancy === 'tenant' && operation.method === 'GET' && operation.pathParameters.length > 0 && operation.pathParameters.every((name) => name in holdings) && !operation.planned;
    // A stream is no state, and deliveries are made by the node itself while we look.
    if (!itsOwn || /[Ss]tream|Deliveries/.test(operation.operationId)) continue;
    result.set(operation, likenessOf(await node.ask({ ...requestOf(operation, holdings), headers: asKey(owner.admin) })));
  }
  return result;
}

type Note = (finding: Finding | null) => void;

async function walkOne(walk: Walk, operation: Operation, note: Note): Promise<void> {
  const { node, owner, stranger, holdings } = walk;
  const heard = async (asked: Asked): Promise<Reply> => {
    const said = `${asked.path} ${JSON.stringify(asked.body ?? null)} ${Object.values(asked.headers).join(' ')}`;
    walk.said.push(said);
    const reply = await node.ask(asked);
    const seen = seenOf(reply, owner.mark, holdings, /Audit/.test(operation.operationId) ? walk.said.join(' ') : said);
    note(seen === null ? null : { kind: 'leak', what: `${seen} (${asked.method}, status ${reply.status})` });
    return reply;
  };
  if (operation.tenancy === 'none') {
    await heard({ ...requestOf(operation, walk.twins), headers: asKey(stranger.admin) });
    return;
  }
  await asStranger(walk, operation, heard, note);
  await asNobody(walk, operation, heard, note);
  await seesItsOwn(walk, operation, note);
}

type Heard = (asked: Asked) => Promise<Reply>;

async function asStranger({ stranger, holdings, twins }: Walk, operation: Operation, heard: Heard, note: Note): Promise<void> {
  for (const { what, foreign, absent } of probesOf(operation, holdings, twins)) {
    const headers = asKey(stranger.admin);
    const [first, second] = [await heard({ ...foreign, headers }), await heard({ ...absent, headers })];
    const difference = differenceOf(first, second, holdings, twins);
    note(difference === null ? null : { kind: 'leak', what: `${what}: ${difference}` });
    const wrong = first.status >= 500 && first.status !== 501 ? `${what}: status ${first.status}` : operation.tenancy === 'platform' && first.status !== 403 ? `${what}: an operation of the platform answers a tenant ${first.status}` : null;
    note(wrong === null ? null : { kind: operation.tenancy === 'platform' ? 'leak' : 'failure', what: wrong });
  }
}

/** With no credential, a spent one, one of another scope, and a good one for the wrong tenant. */
async function asNobody({ node, owner, stranger, spent, holdings }: Walk, operation: Operation, heard: Heard, note: Note): Promise<void> {
  const request = requestOf(operation, holdings);
  const refused = async (who: string, headers: Readonly<Record<string, string>>, statuses: readonly number[]): Promise<void> => {
    const reply = await heard({ ...request, headers });
    note(statuses.includes(reply.status) ? null : { kind: 'leak', what: `${who} is answered ${reply.status} in place of ${statuses.join(' or ')}` });
  };
  if (operation.planned) return;
  if (!node.headersIdentify) {
    await refused('nobody', {}, [401]);
    await refused('a mere header', { 'x-tenant-id': owner.tenantId, 'x-scopes': operation.scopes.join(' ') }, [401]);
  }
  await refused('an expired key', asKey(spent.expired), [401]);
  await refused('a revoked key', asKey(spent.revoked), [401]);
  await refused("a key for another's tenant", { ...asKey(stranger.admin), 'x-tenant-id': owner.tenantId }, [400]);
  const narrow = spent.narrow.find(({ scope }) => !operation.scopes.includes(scope));
  if (operation.scopes.length > 0 && narrow !== undefined) await refused(`a key with ${narrow.scope} alone`, asKey(narrow.secret), [403]);
}

/** What a tenant is told without naming anything, of things of its own. */
function isList({ tenancy, method, pathParameters, planned }: Operation): boolean {
  return tenancy === 'tenant' && method === 'GET' && pathParameters.length === 0 && !planned;
}

async function showsNothingOf({ node }: Walk, operation: Operation, reader: TestTenant, other: TestTenant, note: Note): Promise<void> {
  const reply = await node.ask({ ...requestOf(operation, {}), headers: asKey(reader.admin) });
  const seen = seenOf(reply, other.mark, { tenant_id: other.tenantId }, '');
  note(seen === null ? null : { kind: 'leak', what: `${seen}, unasked (status ${reply.status})` });
}

/** A list in which the owner itself sees nothing of its own proves nothing about others. */
async function seesItsOwn({ node, owner, holdings }: Walk, operation: Operation, note: Note): Promise<void> {
  const pages = operation.tenancy === 'tenant' && operation.method === 'GET' && operation.queryParameters.includes('after') && !operation.planned;
  if (!pages || operation.operationId === 'listWebhookDeliveries') return;
  const reply = await node.ask({ ...requestOf(operation, holdings), headers: asKey(owner.admin) });
  const sees = reply.status === 200 && Object.values(jsonOf(reply) ?? {}).some((members) => Array.isArray(members) && members.length > 0);
  note(sees ? null : { kind: 'failure', what: `the owner sees nothing of its own there (status ${reply.status}), so nothing is proven` });
}

/** One line for people. @throws with what was seen and what was not looked at. */
export function summarise(report: IsolationReport): string {
  const wrong = [
    ...report.uncovered.map((name) => `${name}: no probe knows how to ask it`),
    ...[...report.leaks, ...report.failures].map(({ service, operation, what }) => `${service} ${operation}: ${what}`),
  ];
  must(wrong.length === 0, `${wrong.length} findings: ${wrong.slice(0, 20).join('; ')}`);
  const checks = report.operations.reduce((sum, operation) => sum + operation.checks, 0);
  return `${report.operations.length} operations, ${checks} checks, nothing of one tenant was seen by the other`;
}
