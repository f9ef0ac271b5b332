import { describe, expect, it } from 'vitest';
import { permittedTools, toolPermission, type ToolEntitlement } from './permissions.ts';

const ALL = ['a', 'b', 'c'];
const LISTS: readonly (readonly string[] | null)[] = [null, [], ['a'], ['b'], ['a', 'b'], ALL];
const DENIED: readonly (readonly string[])[] = [[], ['a'], ['b', 'c'], ALL];

describe('tool permission', () => {
  it('holds for every combination of the four lists', () => {
    for (const entitlement of LISTS as readonly ToolEntitlement[]) {
      for (const tools of LISTS.filter((list) => list !== null)) {
        for (const allowlist of LISTS) {
          for (const denylist of DENIED) {
            for (const tool of [...ALL, 'unknown']) {
              const expected = (entitlement?.includes(tool) ?? true) && tools.includes(tool) && (allowlist?.includes(tool) ?? true) && !denylist.includes(tool);
              expect(toolPermission(tool, { entitlement, agent: { tools }, tooling: { allowlist, denylist } }).allowed).toBe(expected);
            }
          }
        }
      }
    }
  });

  it('says why not: deny beats everything', () => {
    const reason = (entitlement: ToolEntitlement, tools: string[], allowlist: string[] | null, denylist: string[]) =>
      toolPermission('a', { entitlement, agent: { tools }, tooling: { allowlist, denylist } });
    expect(reason(['a'], ['a'], ['a'], ['a'])).toEqual({ allowed: false, reason: 'denylisted' });
    expect(reason([], ['a'], ['a'], [])).toEqual({ allowed: false, reason: 'not_entitled' });
    expect(reason(null, [], ['a'], [])).toEqual({ allowed: false, reason: 'not_an_agent_tool' });
    expect(reason(null, ['a'], [], [])).toEqual({ allowed: false, reason: 'not_in_allowlist' });
  });

  it('offers what is permitted, in the order of the agent', () => {
    expect(permittedTools({ entitlement: ['c', 'a'], agent: { tools: ['b', 'c', 'a'] }, tooling: { allowlist: null, denylist: [] } })).toEqual(['c', 'a']);
  });
});
