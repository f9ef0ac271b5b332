/** All migrations of the `federation` schema, in order. */
import type { Migration } from '../../../platform/db/migrate.ts';
import { peerAssertionsMigration } from './0001-peer-assertions.ts';
import { migration as forwards } from './0002-forwards.ts';
import { migration as replicas } from './0003-replicas.ts';

export const FEDERATION_SCHEMA = 'federation';

export const federationMigrations: readonly Migration[] = [peerAssertionsMigration, forwards, replicas];
