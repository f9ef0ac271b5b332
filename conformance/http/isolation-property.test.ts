/**
 * Two tenants that do anything in any order with the same few names, against a model of what each may see: whatever one
 * of them does, the other reads exactly what it wrote itself (PRS 13.9, 15). Prints its seed when it fails;
 * `AGENTOS_TEST_SEED` takes one.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, type Answer, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import type { ServiceName } from '../harness/prism.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
beforeAll(async () => {
  node = await startNode();
});
afterAll(() => node?.close());

/** One kind of thing that tenants have under names that they choose. */
interface Kind {
  readonly service: ServiceName;
  readonly list: string;
  readonly item: (name: string) => string;
  readonly write: (name: string, value: string) => { readonly method: string; readonly path: string; readonly body: Json };
  /** Writing what is there already is a conflict, and no change. */
  readonly writesOnce: boolean;
  readonly namesOf: (body: Json) => string[];
  readonly valueOf: (body: Json) => string;
}

const KINDS: Readonly<Record<string, Kind>> = {
  memory: {
    service: 'agent-orchestrator', list: '/v1/memory/shared/items?limit=100', item: (name) => `/v1/memory/shared/items/${name}`, writesOnce: false,
    write: (name, value) => ({ method: 'PUT', path: `/v1/memory/shared/items/${name}`, body: { value } }),
    namesOf: (body) => body.items.map((item: Json) => item.key as string), valueOf: (body) => body.item.value as string,
  },
  policy: {
    service: 'model-policy', list: '/v1/policies?limit=100', item: (name) => `/v1/policies/pol_${name}`, writesOnce: false,
    write: (name, value) => ({ method: 'PUT', path: `/v1/policies/pol_${name}`, body: { description: value, rules: [{ id: 'small', kind: 'max_tokens', max: 8_000 }] } }),
    namesOf: (body) => body.policies.map((policy: Json) => (policy.policy_id as string).replace('pol_', '')), valueOf: (body) => body.policy.description as string,
  },
  agent: {
    service: 'agent-orchestrator', list: '/v1/agents?limit=100', item: (name) => `/v1/agents/agt_${name}`, writesOnce: true,
    write: (name, value) => ({ method: 'POST', path: '/v1/agents', body: { agent_id: `agt_${name}`, name: value, instructions: 'Be brief.' } }),
    namesOf: (body) => body.agents.map((agent: Json) => (agent.agent_id as string).replace('agt_', '')), valueOf: (body) => body.agent.name as string,
  },
  server: {
    service: 'agent-orchestrator', list: '/v1/mcp-servers?limit=100', item: (name) => `/v1/mcp-servers/${name}`, writesOnce: true,
    write: (name, value) => ({ method: 'POST', path: '/v1/mcp-servers', body: { server_id: name, transport: { type: 'streamable_http', url: `https://${value}.example.com/mcp` } } }),
    namesOf: (body) => body.mcp_servers.map((server: Json) => server.server_id as string), valueOf: (body) => new URL(body.mcp_server.transport.url as string).hostname.split('.')[0]!,
  },
};

/** So few that the two meet all the time; what the node has of its own is named otherwise. */
const NAMES: readonly string[] = ['alpha', 'beta', 'gamma'];

interface Step {
  readonly who: 0 | 1;
  readonly kind: string;
  readonly deed: 'write' | 'read' | 'delete' | 'list';
  readonly name: string;
}

const step: fc.Arbitrary<Step> = fc.record({
  who: fc.constantFrom(0 as const, 1 as const),
  kind: fc.constantFrom(...Object.keys(KINDS)),
  deed: fc.oneof({ weight: 4, arbitrary: fc.constant('write' as const) }, { weight: 3, arbitrary: fc.constant('read' as const) }, { weight: 2, arbitrary: fc.constant('delete' as const) }, { weight: 2, arbitrary: fc.constant('list' as const) }),
  name: fc.constantFrom(...NAMES),
});

type World = ReadonlyMap<string, Map<string, string>>;
const emptyWorld = (): World => new Map(Object.keys(KINDS).map((kind) => [kind, new Map<string, string>()]));

async function take({ kind: kindName, deed, name }: Step, tenant: string, world: World, value: string): Promise<void> {
  const kind = KINDS[kindName]!;
  const things = world.get(kindName)!;
  const ask = (path: string, options: Parameters<typeof call>[2] = {}): Promise<Answer> => call(node.urls[kind.service], path, { tenant, ...options });
  if (deed === 'list') {
    const answer = await ask(kind.list);
    expect([answer.status, kind.namesOf(answer.body).filter((each) => NAMES.includes(each)).sort()]).toEqual([200, [...things.keys()].sort()]);
  } else if (deed === 'read') {
    const answer = await ask(kind.item(name));
    expect([answer.status, answer.status === 200 ? kind.valueOf(answer.body) : null]).toEqual(things.has(name) ? [200, things.get(name)] : [404, null]);
  } else if (deed === 'delete') {
    const { status } = await ask(kind.item(name), { method: 'DELETE' });
    expect(things.has(name) ? [200, 204] : [404]).toContain(status);
    things.delete(name);
  } else {
    const { method, path, body } = kind.write(name, value);
    const { status } = await ask(path, { method, body });
    if (kind.writesOnce && things.has(name)) expect(status).toBe(409);
    else {
      expect([200, 201]).toContain(status);
      things.set(name, value);
    }
  }
}

describe('two tenants that use the same names', () => {
  it('each see exactly what they did themselves', verifies(['PRS-13-09', 'PRS-3.1-05'], async () => {
    const seed = process.env['AGENTOS_TEST_SEED'];
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const tenants = [await node.tenant(), await node.tenant()] as const;
        const worlds = [emptyWorld(), emptyWorld()] as const;
        for (const [index, each] of steps.entries()) await take(each, tenants[each.who], worlds[each.who], `v${each.who}x${index}`);
        for (const who of [0, 1] as const) {
          for (const kind of Object.keys(KINDS)) {
            await take({ who, kind, deed: 'list', name: '' }, tenants[who], worlds[who], '');
            for (const name of NAMES) await take({ who, kind, deed: 'read', name }, tenants[who], worlds[who], '');
          }
        }
      }),
      { numRuns: 12, ...(seed === undefined ? {} : { seed: Number(seed) }) },
    );
  }), 120_000);
});
