/** The judgement of the isolation check, without a node: what counts as a leak, and that every operation can be asked. */
import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { documentOf } from './command.ts';
import { summarise, type IsolationReport } from './isolation.ts';
import { differenceOf, seenOf } from './judge.ts';
import type { Reply } from './node.ts';
import { contractOperations } from './operations.ts';
import { inSafeOrder, probesOf, unknownParameters } from './probes.ts';
import { absentTwins, type Holdings } from './tenants.ts';

const MARK = 'isoa0123';
const holdings: Holdings = {
  tenant_id: `tnt_${MARK}`, agent_id: `agt_${MARK}`, run_id: 'run_01JH9Y0Q2KQ4R7S7X6G0M3E4F8', namespace: `ns-${MARK}`, key: `key-${MARK}`, tool_id: `tool.${MARK}`, server_id: `srv${MARK}`, webhook_id: 'whk_01JH9Y0Q2KQ4R7S7X6G0M3E4F8',
  policy_id: `pol_${MARK}`, principal_id: `svc_${MARK}`, key_id: 'key_01JH9Y0Q2KQ4R7S7X6G0M3E4F8', request_id: `req_${MARK}`, correlation_id: 'corr_01JH9Y0Q2KQ4R7S7X6G0M3E4F8',
};
const twins = absentTwins(holdings);
const reply = (status: number, body: unknown, headers: Record<string, string> = {}): Reply => ({ status, headers: { 'content-type': 'application/json', ...headers }, text: JSON.stringify(body) });
const notFound = (ids: Holdings, more: object = {}): Reply => reply(404, { error: { code: 'not_found', message: `There is no run ${ids['run_id']}.`, retryable: false, details: {} }, correlation_id: Math.random().toString(), ...more });

describe('every operation of the contract', () => {
  it('can be asked for what the other tenant has', () => {
    const operations = contractOperations();
    expect(operations.length).toBeGreaterThan(120);
    expect(operations.flatMap((operation) => unknownParameters(operation, holdings).map((name) => `${operation.operationId}: ${name}`))).toEqual([]);
    for (const operation of operations) for (const { foreign, absent } of probesOf(operation, holdings, twins)) expect([foreign.path, absent.path].join()).not.toContain('{');
  });

  it('that names something nobody knows how to fill is not covered, by name', () => {
    const [first] = contractOperations();
    expect(unknownParameters({ ...first!, pathParameters: ['invoice_id'], queryParameters: ['limit', 'after', 'payer_id'] }, holdings)).toEqual(['invoice_id', 'payer_id']);
  });

  it('that makes something is asked after those that look for what is not the asker\'s', () => {
    const order = inSafeOrder(contractOperations()).map(({ operationId }) => operationId);
    for (const [early, late] of [['getMemoryItem', 'putMemoryItem'], ['deleteMemoryItem', 'putMemoryItem'], ['deleteAgent', 'createAgent'], ['deletePolicy', 'putPolicy']] as const) expect(order.indexOf(early), early).toBeLessThan(order.indexOf(late));
  });
});

describe('a reply', () => {
  it('shows the other tenant by its mark, by an identifier, or in a header', () => {
    expect(seenOf(reply(200, { runs: [] }), MARK, holdings, '')).toBeNull();
    expect(seenOf(reply(200, { name: `Agent ${MARK}` }), MARK, holdings, '')).toBe('a text of the other tenant');
    expect(seenOf(reply(200, { runs: [{ run_id: holdings['run_id'] }] }), MARK, holdings, '')).toBe("the other tenant's run_id");
    expect(seenOf(reply(200, {}, { location: `/v1/agents/${holdings['agent_id']}` }), MARK, holdings, '')).toBe('a text of the other tenant');
  });

  it('may repeat what was asked, and nothing beside', () => {
    const said = `/v1/agents/${holdings['agent_id']}`;
    expect(seenOf(reply(404, { message: `There is no agent ${holdings['agent_id']}.` }), MARK, holdings, said)).toBeNull();
    expect(seenOf(reply(404, { message: `Agent ${holdings['agent_id']} belongs to ${holdings['tenant_id']}.` }), MARK, holdings, said)).toBe('a text of the other tenant');
  });

  it('must be the one for what nobody has', () => {
    expect(differenceOf(notFound(holdings), notFound(twins), holdings, twins)).toBeNull();
    expect(differenceOf({ ...notFound(holdings), status: 403 }, notFound(twins), holdings, twins)).toContain('403');
    expect(differenceOf(notFound(holdings, { hint: 'ask its owner' }), notFound(twins), holdings, twins)).toContain('an error that differs');
    expect(differenceOf({ ...notFound(holdings), headers: { etag: '1' } }, { ...notFound(twins), headers: {} }, holdings, twins)).toContain('headers');
  });
});

describe('the report', () => {
  const report = (changes: Partial<IsolationReport>): IsolationReport => ({ tenants: ['tnt_a', 'tnt_b'], operations: [{ service: 'agent-orchestrator', operation: 'getRun', checks: 9, outcome: 'isolated' }], uncovered: [], leaks: [], failures: [], ...changes });
  const valid = new Ajv2020({ strict: false }).compile(JSON.parse(readFileSync(new URL('../../../../specs/schemas/cli/cli-isolation.schema.json', import.meta.url), 'utf8')) as object);

  it.each([
    ['is good', {}, true], ['has a leak', { leaks: [{ service: 'a', operation: 'b', what: 'c' }] }, false], ['has a hole', { uncovered: ['a b (x)'] }, false], ['proves nothing', { failures: [{ service: 'a', operation: 'b', what: 'c' }] }, false],
  ] as const)('that %s says so, in the shape of the contract', (_name, changes, isolated) => {
    const document = documentOf(report(changes));
    expect(valid(document), JSON.stringify(valid.errors)).toBe(true);
    expect(document['isolated']).toBe(isolated);
    if (isolated) expect(summarise(report(changes))).toContain('9 checks');
    else expect(() => summarise(report(changes))).toThrow();
  });
});
