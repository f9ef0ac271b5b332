/**
 * Records of what peers ask for, many in one transaction. Each tenant has one chain, which a transaction holds until it is
 * on disk, so records that are written one by one are as slow as the disk is, one behind the other.
 */
import type { AuditPort } from '../../platform/audit/audit.ts';
import type { AuditRow } from '../../platform/audit/audit-row.ts';
import { FlushRolledBackError, GroupCommit } from '../../platform/db/group-commit.ts';
import { AmbiguousCommitError } from '../../platform/db/transaction.ts';
import { AgentOsError } from '../../platform/errors.ts';

const LANES = 4;

export interface GroupedAudit extends Pick<AuditPort, 'append'> {
  /** Ends when what was appended is written. */
  close(): Promise<void>;
}

/** `append` resolves as the port's does: when the records are durable. Those of one call are of one tenant. */
export function groupedAudit(audit: Pick<AuditPort, 'append'>): GroupedAudit {
  const writer = new GroupCommit<readonly AuditRow[], null>({
    lanes: LANES,
    group: (rows) => rows[0]!.tenant_id,
    flush: async (batch) => {
      try {
        await audit.append(null, batch.flat());
      } catch (error) {
        // One that cannot be written does not keep the others from it.
        throw error instanceof AgentOsError && error.cause instanceof AmbiguousCommitError ? error : new FlushRolledBackError(error);
      }
      return batch.map(() => null);
    },
  });
  return {
    async append(_auth, rows) {
      if (rows.length > 0) await writer.submit(rows);
    },
    close: () => writer.close(),
  };
}
