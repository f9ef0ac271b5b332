/** All migrations of the `orchestrator` schema, in order. */
import type { Migration } from '../../../platform/db/migrate.ts';
import { migration as runs } from './0001-runs.ts';
import { migration as agentsAndMemory } from './0002-agents-and-memory.ts';

export const SCHEMA = 'orchestrator';

export const migrations: readonly Migration[] = [runs, agentsAndMemory];
