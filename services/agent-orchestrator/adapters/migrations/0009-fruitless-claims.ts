/** How often a run was claimed since it last got a step further: what tells a run that breaks its workers from one whose workers broke. */
import type { Migration } from '../../../platform/db/migrate.ts';

export const migration: Migration = {
  name: '0009_fruitless_claims',
  up: ['ALTER TABLE orchestrator.runs ADD COLUMN fruitless_claims integer NOT NULL DEFAULT 0'],
};
