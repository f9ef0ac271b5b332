import { describe, expect, it } from 'vitest';
import type { AgentPermissions } from '../ports/agents.ts';
import type { ToolReach } from '../ports/tool.ts';
import { mayReach, permittedTools, toolPermission, type ToolEntitlement } from './permissions.ts';

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

describe('reach', () => {
  const may = (permissions: AgentPermissions | undefined, kind: ToolReach['kind'], name: string): boolean => mayReach(permissions, { kind, name });

  it('is open where a list is absent, but for agents', () => {
    for (const kind of ['host', 'memory_read', 'memory_write'] as const) expect(may(undefined, kind, 'anything')).toBe(true);
    expect(may(undefined, 'agent', 'agt_a')).toBe(false);
    expect(may({}, 'agent', 'agt_a')).toBe(false);
  });

  it('is closed where a list is empty', () => {
    const nothing: AgentPermissions = { agents: [], hosts: [], memory: { read: [], write: [] } };
    for (const kind of ['agent', 'host', 'memory_read', 'memory_write'] as const) expect(may(nothing, kind, 'anything')).toBe(false);
  });

  it('keeps reading and writing apart, and takes an open end', () => {
    const notes: AgentPermissions = { memory: { read: ['notes*'], write: ['notes-mine'] } };
    expect([may(notes, 'memory_read', 'notes'), may(notes, 'memory_read', 'notes-2025'), may(notes, 'memory_read', 'other')]).toEqual([true, true, false]);
    expect([may(notes, 'memory_write', 'notes-mine'), may(notes, 'memory_write', 'notes-mine2'), may(notes, 'memory_write', 'notes')]).toEqual([true, false, false]);
    expect(may({ memory: { read: ['a'] } }, 'memory_write', 'b')).toBe(true);
  });

  it('knows the names below a host from the host and from what merely ends so', () => {
    const hosts: AgentPermissions = { hosts: ['api.Example.com', '*.example.org'] };
    const verdicts = Object.fromEntries(['API.example.com', 'example.com', 'a.example.org', 'a.b.EXAMPLE.org', 'example.org', 'evilexample.org', 'example.org.evil.com', 'api.example.com.'].map((name) => [name, may(hosts, 'host', name)]));
    expect(verdicts).toEqual({ 'API.example.com': true, 'example.com': false, 'a.example.org': true, 'a.b.EXAMPLE.org': true, 'example.org': false, 'evilexample.org': false, 'example.org.evil.com': false, 'api.example.com.': false });
  });
});
