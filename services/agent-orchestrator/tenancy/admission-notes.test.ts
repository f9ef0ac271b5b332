import { describe, expect, it } from 'vitest';
import { admit } from './admission.ts';
import { AdmissionNotes, type SeenTenant } from './admission-notes.ts';

const limits = { createQps: 10, createBurst: 2, maxConcurrentRuns: 100 };
const NOW_MS = 1_700_000_000_000;

function admitAfter(runs: number): SeenTenant {
  let state = { active: 0, arrivalMs: 0 };
  for (let n = 0; n < runs; n += 1) {
    const admission = admit(state, limits, NOW_MS);
    if (admission.outcome !== 'admitted') throw new Error('The rate admits fewer.');
    state = admission.state;
  }
  return { tenantId: 'a', limits, state, nowMs: NOW_MS, decidedMs: 500 };
}

describe('what was decided', () => {
  it('refuses from the last place on, until the next one comes', () => {
    const notes = new AdmissionNotes();
    notes.decided(admitAfter(1), null);
    expect(notes.refusal('a', limits, 500), 'one of two places is left').toBeNull();
    notes.decided(admitAfter(2), null);
    expect(notes.refusal('a', limits, 599)).toEqual({ outcome: 'rate_limited', retryAfterSeconds: 1, limit: 10 });
    expect(notes.refusal('b', limits, 599)).toBeNull();
    expect(notes.refusal('a', limits, 600)).toBeNull();
  });

  it('is asked for again where a run may end at any moment, except by a crowd', () => {
    const notes = new AdmissionNotes();
    const full = { ...limits, createQps: 1_000, createBurst: 1_000, maxConcurrentRuns: 3 };
    const seen: SeenTenant = { tenantId: 'a', limits: full, state: { active: 3, arrivalMs: 0 }, nowMs: NOW_MS, decidedMs: 500 };
    const refusal = { outcome: 'concurrency_exceeded', limit: 3, used: 3 } as const;
    for (let n = 0; n < 5; n += 1) notes.decided(seen, refusal);
    expect(notes.refusal('a', full, 501)).toBeNull();
    for (let n = 0; n < 20; n += 1) notes.decided(seen, refusal);
    expect(notes.refusal('a', full, 549)).toEqual(refusal);
    expect(notes.refusal('a', { ...full, maxConcurrentRuns: 4 }, 501), 'a cap that was raised acts at once').toBeNull();
    for (let n = 0; n < 20; n += 1) notes.decided(seen, refusal);
    expect(notes.refusal('a', full, 550)).toBeNull();
  });

  it('is no refusal that outlasts a rate of nought', () => {
    const notes = new AdmissionNotes();
    const none = { ...limits, createQps: 0 };
    notes.decided({ ...admitAfter(0), limits: none }, { outcome: 'rate_limited', retryAfterSeconds: 3_600, limit: 0 });
    expect(notes.refusal('a', none, 501)).toBeNull();
  });
});
