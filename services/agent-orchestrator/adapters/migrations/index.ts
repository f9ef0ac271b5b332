/** All migrations of the `orchestrator` schema, in order. */
import type { Migration } from '../../../platform/db/migrate.ts';
import { migration as runs } from './0001-runs.ts';
import { migration as agentsAndMemory } from './0002-agents-and-memory.ts';
import { migration as tools } from './0003-tools.ts';
import { migration as memory } from './0004-memory.ts';
import { migration as agentsAndRuns } from './0005-agents-and-runs.ts';
import { migration as webhooks } from './0006-webhooks.ts';
import { migration as backlog } from './0008-backlog.ts';
import { migration as fruitlessClaims } from './0009-fruitless-claims.ts';
import { migration as waitingRuns } from './0010-waiting-runs.ts';

export const SCHEMA = 'orchestrator';

export const migrations: readonly Migration[] = [runs, agentsAndMemory, tools, memory, agentsAndRuns, webhooks, backlog, fruitlessClaims, waitingRuns];
