/** Assertions of peers that were used. A table of the node: what was used once is used for every tenant. */
import type { Migration } from '../../../platform/db/migrate.ts';
import { sharedTable } from '../../../platform/db/tenant-table.ts';

export const peerAssertionsMigration: Migration = {
  name: '0001_peer_assertions',
  up: [
    `CREATE TABLE federation.peer_assertions (
      issuer text COLLATE "C" NOT NULL,
      jti text COLLATE "C" NOT NULL,
      expires_at timestamptz NOT NULL,
      PRIMARY KEY (issuer, jti)
    )`,
    'CREATE INDEX peer_assertions_expiry ON federation.peer_assertions (expires_at)',
    ...sharedTable('federation.peer_assertions', { grants: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] }),
  ],
};
