/**
 * A worker process that a test may kill: executes runs of DATABASE_URL with a model that asks for two tools and takes
 * its time, and prints a line whenever it begins a model call.
 */
import { pino } from 'pino';
import { createDatabase } from '../../platform/db/pool.ts';
import { Worker } from '../runtime/worker.ts';
import { systemClock } from '../runtime/retry.ts';
import { ScriptedModel, says, toolCalls } from '../runtime/runtime.fixture.ts';
import { PostgresEvents } from './events-postgres.ts';
import { PostgresMemory } from './memory-postgres.ts';
import { PostgresWake } from './postgres-wake.ts';
import { PostgresQueue } from './queue-postgres.ts';
import { PostgresRunState } from './run-state-postgres.ts';
import { BuiltinTools } from './tool-builtin.ts';

/** By how far the conversation has come, so that any worker answers any step alike. */
export function conversationModel(pauseMs: number, onCall: () => void): ScriptedModel {
  return new ScriptedModel(async (request) => {
    onCall();
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    const { messages } = request.input as { messages: { role: string }[] };
    const answered = messages.filter((message) => message.role === 'tool').length;
    return answered === 0 ? toolCalls({ tool: 'tool.kv.put', input: { key: 'k', value: 1 } }, { tool: 'tool.kv.get', input: { key: 'k' } }) : says(`After ${answered} tools.`);
  });
}

if (process.argv[2] === 'run') {
  const url = process.env['DATABASE_URL']!;
  const database = await createDatabase({ url, applicationName: 'killed-worker', keyedStatements: true });
  const wake = new PostgresWake({ pool: database.pool, url });
  const worker = new Worker(
    new PostgresQueue(database.pool, wake),
    {
      runState: new PostgresRunState(database.pool), events: new PostgresEvents(database.pool, wake), model: conversationModel(30, () => process.stdout.write('calling\n')), tools: new BuiltinTools(new PostgresMemory(database.pool)),
      entitlement: async () => null, clock: systemClock, log: pino({ level: 'silent' }),
    },
    { leaseMs: 800, heartbeatMs: 200, pollMs: 100, concurrency: 8 },
  );
  worker.start();
}
