/** AuditPort: what is appended stands there, in order, whole, findable and provable; and only for its tenant. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditRow, type AuditFacts, type AuditRow } from '../../../services/platform/audit/audit-row.ts';
import type { AuditFilter, AuditPort, AuditPosition, AuditRecord } from '../../../services/platform/audit/audit.ts';
import { parseExportLine } from '../../../services/platform/audit/audit-record.ts';
import { verifyChain } from '../../../services/platform/audit/verify.ts';
import type { AuthContext } from '../../../services/platform/tenancy/auth-context.ts';
import { verifies } from '../../http/verifies.ts';
import type { AuditHarness } from '../contract.ts';
import { pause } from '../fixtures.ts';

const SERVICES = ['agent-orchestrator', 'model-policy'] as const;

export function auditSuite(create: () => Promise<AuditHarness>): void {
  describe('audit', () => {
    let harness: AuditHarness | undefined;
    beforeAll(async () => {
      harness = await create();
    });
    afterAll(() => harness?.dispose());
    const under = () => harness!;
    describe('appending', () => appending(under));
    describe('reading', () => reading(under));
    describe('proving', () => proving(under));
  });
}

const row = (auth: AuthContext | null, action: string, facts: Partial<AuditFacts> = {}, service: string = SERVICES[0]): AuditRow => auditRow(service, auth, { action, ...facts });

async function all(audit: AuditPort, auth: AuthContext, filter: AuditFilter = {}, limit = 3): Promise<AuditRecord[]> {
  const records: AuditRecord[] = [];
  for (let after: AuditPosition | undefined; ; ) {
    const page = await audit.list(auth, { ...filter, limit, ...(after === undefined ? {} : { after }) });
    expect(page.records.length).toBeLessThanOrEqual(limit);
    records.push(...page.records);
    if (page.next === null) return records;
    expect(page.next, 'every page goes on').not.toEqual(after);
    after = page.next;
  }
}

async function reports(audit: AuditPort, tenantId: string) {
  const heads = await audit.heads(tenantId);
  return Promise.all(heads.map((head) => verifyChain({ name: head, head, records: audit.chain(head) })));
}

/** Records of both services, a few at a time, so that they lie in each other. */
async function fill(audit: AuditPort, auth: AuthContext, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    const facts = { resource: { type: index % 5 === 0 ? 'agent' : 'run', id: `thing_${index}` }, correlationId: `corr_${index % 3}`, outcome: index % 4 === 0 ? 'denied' as const : 'allowed' as const };
    await audit.append(auth, [row(auth, index === 2 ? 'agent.rare' : 'run.create', facts, SERVICES[index % 2]!)]);
  }
}

function appending(under: () => AuditHarness): void {
  it('keeps who, what, for which tenant, under which policy context', verifies(['PRS-10.3-01', 'PRS-10.3-04', 'PRS-4.3-14'], async () => {
    const { audit } = under();
    const auth = await under().newTenant();
    await audit.append(auth, [row(auth, 'run.create', { resource: { type: 'run', id: 'run_1' }, correlationId: 'corr_1', operation: 'createRun', source: '192.0.2.7', details: { agent_id: 'agt_1', agent_version: '1.2.0' } })]);
    const { records: [record], next } = await audit.list(auth, { limit: 10 });
    expect(next).toBeNull();
    expect(record).toMatchObject({
      tenant_id: auth.tenant_id, service: 'agent-orchestrator', sequence: 1, action: 'run.create', outcome: 'allowed',
      principal: auth.principal, roles: auth.roles, policy_context: auth.policy_context, resource: { type: 'run', id: 'run_1' },
      correlation_id: 'corr_1', operation: 'createRun', source: '192.0.2.7', decision: null, route: null, peer: null, details: { agent_id: 'agt_1', agent_version: '1.2.0' },
    });
    expect(record!.audit_id).toMatch(/^aud_/);
    expect(Date.parse(record!.recorded_at)).not.toBeNaN();
  }));

  it('numbers the records of concurrent appends without a gap, each chain by itself', async () => {
    const { audit } = under();
    const auth = await under().newTenant();
    await Promise.all(Array.from({ length: 20 }, (_, index) => audit.append(auth, [row(auth, 'a.one', {}, SERVICES[index % 2]!), row(auth, 'a.two', {}, SERVICES[(index + 1) % 2]!)])));
    for (const service of SERVICES) {
      const sequences = (await all(audit, auth, { service }, 100)).map(({ sequence }) => sequence);
      expect(sequences).toEqual(Array.from({ length: 20 }, (_, index) => 20 - index));
    }
    expect((await reports(audit, auth.tenant_id)).flatMap(({ faults }) => faults)).toEqual([]);
  });

  it('keeps the order within one append', async () => {
    const { audit } = under();
    const auth = await under().newTenant();
    await audit.append(auth, Array.from({ length: 12 }, (_, index) => row(auth, `a.n${index}`)));
    expect((await all(audit, auth)).map(({ action }) => action)).toEqual(Array.from({ length: 12 }, (_, index) => `a.n${11 - index}`));
  });

  it('stores what a database takes badly, and chains it as it is stored', async () => {
    const { audit } = under();
    const auth = await under().newTenant();
    await audit.append(auth, [row({ ...auth, principal: { ...auth.principal, principal_id: 'usr_\u0000\ud800"\\ü' } }, 'a.odd', { details: { text: 'a\u0000b\\u0000', name: '名' } })]);
    expect(await all(audit, auth)).toHaveLength(1);
    expect((await reports(audit, auth.tenant_id))[0]).toMatchObject({ records: 1, faults: [] });
  });

  it('writes down nothing that looks like a secret, and nothing long', async () => {
    const { audit } = under();
    const auth = await under().newTenant();
    const canary = 'aos_live_01CANARY.s3cr3ts3cr3t';
    await audit.append(auth, [row(auth, 'a.secret', {
      details: { password: 'canary-1', api_key: canary, note: `see ${canary}`, url: 'postgres://user:canary-2@host/db', bearer: ['Bearer canary-3', 'eyJhbGciOiJub25lIn0.canary-4.x'], nested: { client_secret: 'canary-5', deeper: 'fine' }, long: 'x'.repeat(5_000), total_tokens: 17 },
    })]);
    const [record] = await all(audit, auth);
    const text = JSON.stringify(record);
    expect(text).not.toMatch(/canary|CANARY/);
    expect(text.length).toBeLessThan(2_000);
    expect(record!.details).toMatchObject({ total_tokens: 17, nested: { deeper: 'fine' } });
  });
}

function reading(under: () => AuditHarness): void {
  it('pages through everything once, newest first over all services', async () => {
    const { audit } = under();
    const auth = await under().newTenant();
    await fill(audit, auth, 25);
    for (const limit of [1, 4, 100]) {
      const records = await all(audit, auth, {}, limit);
      expect(records.map(({ resource }) => resource!.id)).toEqual(Array.from({ length: 25 }, (_, index) => `thing_${24 - index}`));
    }
  });

  it('finds by every filter, also what is rare and far back', async () => {
    const { audit } = under();
    const auth = await under().newTenant();
    await fill(audit, auth, 40);
    const ids = async (filter: AuditFilter) => (await all(audit, auth, filter)).map(({ resource }) => Number(resource!.id.slice(6)));
    const down = Array.from({ length: 40 }, (_, index) => 39 - index);
    expect(await ids({ action: 'agent.rare' })).toEqual([2]);
    expect(await ids({ outcome: 'denied' })).toEqual(down.filter((index) => index % 4 === 0));
    expect(await ids({ resourceType: 'agent' })).toEqual(down.filter((index) => index % 5 === 0));
    expect(await ids({ resourceId: 'thing_7' })).toEqual([7]);
    expect(await ids({ correlationId: 'corr_1', service: 'model-policy' })).toEqual(down.filter((index) => index % 3 === 1 && index % 2 === 1));
    expect(await ids({ principalId: auth.principal.principal_id })).toEqual(down);
    expect(await ids({ principalId: 'usr_other' })).toEqual([]);
  });

  it('finds by time, the start included and the end not', async () => {
    const { audit } = under();
    const auth = await under().newTenant();
    for (const action of ['t.a', 't.b', 't.c', 't.d']) {
      await audit.append(auth, [row(auth, action)]);
      await pause(3);
    }
    const [d, c, b, a] = await all(audit, auth);
    const actions = async (filter: AuditFilter) => (await all(audit, auth, filter)).map(({ action }) => action);
    expect(await actions({ from: b!.recorded_at, to: d!.recorded_at })).toEqual(['t.c', 't.b']);
    expect(await actions({ from: c!.recorded_at })).toEqual(['t.d', 't.c']);
    expect(await actions({ to: a!.recorded_at })).toEqual([]);
  });

  it('is not disturbed by what is added while somebody pages', async () => {
    const { audit } = under();
    const auth = await under().newTenant();
    await audit.append(auth, ['a', 'b', 'c', 'd'].map((name) => row(auth, `p.${name}`)));
    const first = await audit.list(auth, { limit: 2 });
    await audit.append(auth, [row(auth, 'p.new'), row(auth, 'p.newer', {}, SERVICES[1])]);
    const rest: string[] = [];
    for (let after = first.next; after !== null; ) {
      const page = await audit.list(auth, { limit: 2, after });
      rest.push(...page.records.map(({ action }) => action));
      after = page.next;
    }
    expect([...first.records.map(({ action }) => action), ...rest].filter((action) => !action.startsWith('p.new'))).toEqual(['p.d', 'p.c', 'p.b', 'p.a']);
  });

  it("shows a tenant its own records and nobody else's", verifies(['PRS-10.3-05'], async () => {
    const { audit } = under();
    const [one, other] = [await under().newTenant(), await under().newTenant()];
    await audit.append(one, [row(one, 'o.mine')]);
    await audit.append(other, [row(other, 'o.theirs')]);
    expect((await all(audit, one)).map(({ action }) => action)).toEqual(['o.mine']);
    const lines: string[] = [];
    for await (const line of audit.export(one, {})) lines.push(line);
    expect(lines.join('')).not.toContain('o.theirs');
    expect((await audit.heads(one.tenant_id)).map(({ tenantId }) => tenantId)).toEqual([one.tenant_id]);
  }));
}

function proving(under: () => AuditHarness): void {
  it('exports lines, oldest first, that can be verified by themselves', verifies(['PRS-10.3-01'], async () => {
    const { audit } = under();
    const auth = await under().newTenant();
    await fill(audit, auth, 15);
    const lines: string[] = [];
    for await (const line of audit.export(auth, {})) lines.push(line);
    const parsed = lines.map((line) => parseExportLine(line)!);
    expect(lines.map((line) => (JSON.parse(line) as AuditRecord).resource!.id)).toEqual(Array.from({ length: 15 }, (_, index) => `thing_${index}`));
    for (const service of SERVICES) {
      const records = parsed.filter(({ name }) => name.service === service).map(({ record }) => record);
      expect(await verifyChain({ name: { tenantId: auth.tenant_id, service }, records, part: 'range' })).toMatchObject({ faults: [], records: service === SERVICES[0] ? 8 : 7 });
    }
    const mended = parseExportLine(lines[3]!.replace('"run"', '"nur"'))!;
    expect((await verifyChain({ name: mended.name, records: [mended.record], part: 'filtered' })).faults).toMatchObject([{ kind: 'edited', sequence: mended.record.sequence }]);
  }));

  it('keeps a head that says where each chain ends', async () => {
    const { audit } = under();
    const auth = await under().newTenant();
    await fill(audit, auth, 5);
    for (const head of await audit.heads(auth.tenant_id)) {
      const [newest] = await all(audit, auth, { service: head.service });
      expect(head).toMatchObject({ sequence: newest!.sequence, hash: newest!.hash });
    }
  });
}
