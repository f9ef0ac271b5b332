import { describe, expect, it } from 'vitest';
import { AgentOsError } from '../errors.ts';
import type { Identity } from '../auth/identity.ts';
import { createMetricsReader } from './metrics-reader.ts';

const OPERATOR = { 'x-api-key': 'operator' };
const TENANT = { 'x-api-key': 'tenant' };

function subject(required: boolean) {
  const state = { away: false, nowMs: 0, asked: 0 };
  const identity: Identity = {
    authenticate(headers) {
      state.asked += 1;
      if (state.away) throw new AgentOsError('dependency_unavailable', { message: 'The database is away.' });
      const scopes = { operator: ['metrics:read'], tenant: ['runs:read'] }[headers['x-api-key'] as string];
      if (scopes === undefined) throw new AgentOsError('unauthorized', { message: 'Who?' });
      return { tenant_id: 'tnt_a', principal: { principal_id: 'svc_a', principal_type: 'service' }, scopes, roles: [] };
    },
  };
  return { state, mayReadTenants: createMetricsReader({ identity, required, now: () => state.nowMs }) };
}

describe('a reader of metrics', () => {
  it('sees single tenants with the scope for it alone', async () => {
    for (const required of [true, false]) {
      const { mayReadTenants } = subject(required);
      expect([await mayReadTenants(OPERATOR), await mayReadTenants(TENANT)]).toEqual([true, false]);
    }
  });

  it('needs no credential where metrics are open, and a bad one takes nothing away', async () => {
    const { mayReadTenants, state } = subject(false);
    expect([await mayReadTenants({}), state.asked, await mayReadTenants({ authorization: 'Bearer nonsense' })]).toEqual([false, 0, false]);
  });

  it('is refused without a good one where they are not', async () => {
    const { mayReadTenants } = subject(true);
    for (const headers of [{}, { 'x-api-key': 'nobody' }]) await expect(mayReadTenants(headers)).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('is still known for a while when the store of credentials is away, and nobody else is', async () => {
    const { mayReadTenants, state } = subject(true);
    await mayReadTenants(OPERATOR);
    state.away = true;
    expect(await mayReadTenants(OPERATOR)).toBe(true);
    await expect(mayReadTenants(TENANT)).rejects.toMatchObject({ code: 'dependency_unavailable' });
    state.nowMs += 600_000;
    await expect(mayReadTenants(OPERATOR)).rejects.toMatchObject({ code: 'dependency_unavailable' });
  });

  it('is forgotten once it was refused', async () => {
    const { mayReadTenants, state } = subject(true);
    await mayReadTenants(OPERATOR);
    state.nowMs += 1;
    const gone = { 'x-api-key': 'nobody' };
    await expect(mayReadTenants(gone)).rejects.toMatchObject({ code: 'unauthorized' });
    state.away = true;
    await expect(mayReadTenants(gone)).rejects.toMatchObject({ code: 'dependency_unavailable' });
    expect(await mayReadTenants(OPERATOR)).toBe(true);
  });
});
