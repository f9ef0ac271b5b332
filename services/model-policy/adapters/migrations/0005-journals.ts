/** What a process leaves in its journal, and which ledger a journal belongs to (docs/adr/0010-call-journal.md). */
import type { Migration } from '../../../platform/db/migrate.ts';
import { sharedTable } from '../../../platform/db/tenant-table.ts';

export const journalsMigration: Migration = {
  name: '0005_journals',
  up: [
    `ALTER TABLE model_policy.usage_replicas
      -- The journal in which calls of this life may stand that are not in the ledger yet. While there is one, nobody
      -- gives back what this life has set aside or takes over its claims.
      ADD COLUMN journal text COLLATE "C",
      -- Whether the leases are what its calls left of them. NULL: it had no journal. False: the end of its journal is missing.
      ADD COLUMN exact boolean`,
    'CREATE INDEX usage_replicas_journal ON model_policy.usage_replicas (journal) WHERE journal IS NOT NULL',
    // A journal is shipped to the ledger that it was written for, whatever DATABASE_URL says meanwhile.
    'CREATE TABLE model_policy.ledger_identity (ledger_id text PRIMARY KEY)',
    'INSERT INTO model_policy.ledger_identity VALUES (gen_random_uuid()::text)',
    ...sharedTable('model_policy.ledger_identity', { grants: ['SELECT'] }),
  ],
};
