import { describe, expect, it } from 'vitest';
import { newId } from '../../platform/ids.ts';
import { childRunIdOf, runIdAt } from './child-id.ts';

const STARTED_MS = Date.parse('2026-01-01T00:00:00Z');

describe('the id of a child run', () => {
  it('is the same for the same step of the same run, and another for any other', () => {
    const id = childRunIdOf({ runId: 'run_a', startedMs: STARTED_MS }, 3);
    expect(childRunIdOf({ runId: 'run_a', startedMs: STARTED_MS }, 3)).toBe(id);
    expect(new Set([id, childRunIdOf({ runId: 'run_a', startedMs: STARTED_MS }, 4), childRunIdOf({ runId: 'run_b', startedMs: STARTED_MS }, 3)]).size).toBe(3);
    expect(id).toMatch(/^run_[0-9A-HJKMNP-TV-Z]{26}$/);
  });

  it('stands among the runs of its time', () => {
    const id = childRunIdOf({ runId: 'run_a', startedMs: STARTED_MS }, 1);
    expect([runIdAt(STARTED_MS) <= id, id < runIdAt(STARTED_MS + 1)]).toEqual([true, true]);
  });
});

describe('the time in a run id', () => {
  it('is that of its creation', () => {
    const before = Date.now();
    const id = newId('run');
    expect([runIdAt(before) <= id, id < runIdAt(Date.now() + 1)]).toEqual([true, true]);
  });

  it('bounds ids for any time, however odd', () => {
    for (const ms of [-5, 0, Number.MAX_SAFE_INTEGER]) expect(runIdAt(ms)).toMatch(/^run_[0-9A-HJKMNP-TV-Z]{10}$/);
  });
});
