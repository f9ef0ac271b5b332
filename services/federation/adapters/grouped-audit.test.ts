import { describe, expect, it } from 'vitest';
import { auditRow, type AuditRow } from '../../platform/audit/audit-row.ts';
import { AmbiguousCommitError } from '../../platform/db/transaction.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { groupedAudit } from './grouped-audit.ts';

const row = (tenant: string, id: string): AuditRow => auditRow('federation', { tenant_id: tenant, principal: { principal_id: 'svc_a', principal_type: 'service' }, scopes: [] }, { action: 'run.receive', resource: { type: 'run', id } });
const idsOf = (rows: readonly AuditRow[]): readonly string[] => rows.map(({ entry }) => entry.resource!.id);

function recording(refuse: (rows: readonly AuditRow[]) => Error | null = () => null) {
  const written: (readonly string[])[] = [];
  const audit = groupedAudit({
    async append(_auth, rows) {
      await new Promise((resolve) => setImmediate(resolve));
      const error = refuse(rows);
      if (error !== null) throw error;
      written.push(idsOf(rows));
    },
  });
  return { audit, written };
}

describe('records that arrive together', () => {
  it('are written together, in order, each once', async () => {
    const { audit, written } = recording();
    await Promise.all(Array.from({ length: 20 }, (_, index) => audit.append(null, [row('tnt_a', String(index))])));
    expect(written.flat()).toEqual(Array.from({ length: 20 }, (_, index) => String(index)));
    expect(written.length).toBeLessThan(5);
  });

  it('fail alone where one of them cannot be written', async () => {
    const { audit, written } = recording((rows) => (idsOf(rows).includes('bad') ? new AgentOsError('internal_error', { message: 'It does not fit.' }) : null));
    const outcomes = await Promise.allSettled(['first', 'good', 'bad', 'fine'].map((id) => audit.append(null, [row('tnt_a', id)])));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    expect(written.flat()).toEqual(['first', 'good', 'fine']);
  });

  it('are written no second time where nobody knows whether they were', async () => {
    let tries = 0;
    const { audit } = recording(() => {
      tries += 1;
      return tries === 1 ? null : new AgentOsError('dependency_unavailable', { message: 'Lost.', details: {}, cause: new AmbiguousCommitError(null) });
    });
    const outcomes = await Promise.allSettled(['first', 'a', 'b'].map((id) => audit.append(null, [row('tnt_a', id)])));
    expect([outcomes.map(({ status }) => status), tries]).toEqual([['fulfilled', 'rejected', 'rejected'], 2]);
  });
});
