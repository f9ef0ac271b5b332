/** Adds the scenarios that the corpus lacks: `npx tsx conformance/replay/record.ts`. What stands is left as it is. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SERVICE_VERSION } from '../../services/platform/build-info.ts';
import { executeRun } from '../../services/agent-orchestrator/runtime/executor.ts';
import { replayRun } from '../../services/agent-orchestrator/runtime/replay.ts';
import { AUTH, runtime } from '../../services/agent-orchestrator/runtime/runtime.fixture.ts';
import { CORPUS, type Recording } from './recordings.ts';
import { SCENARIOS, overridesOf, type Scenario } from './scenarios.ts';

const START_MS = Date.parse('2026-01-01T00:00:00Z');

export async function recordScenario(scenario: Scenario): Promise<Recording> {
  let nowMs = START_MS;
  const harness = runtime(scenario.model(), {}, () => (nowMs += 1));
  const runId = await harness.create(overridesOf(scenario));
  if (scenario.play === undefined) await executeRun(harness.dependencies, await harness.claim(), new AbortController().signal);
  else await scenario.play(harness, runId);
  const work = await harness.runState.getWork(AUTH, runId);
  const events = (await harness.events(runId)).map(({ eventId, sequence, type, stepId, payload, time }) => ({ eventId, sequence, type, stepId, payload, time }));
  return { recorded_by: SERVICE_VERSION, about: scenario.about, work, events, report: replayRun(work, events) };
}

if (process.argv[1]?.endsWith('record.ts')) {
  for (const scenario of SCENARIOS) {
    const file = join(CORPUS, `${scenario.name}.json`);
    if (existsSync(file)) continue;
    writeFileSync(file, `${JSON.stringify(await recordScenario(scenario), null, 1)}\n`);
    process.stdout.write(`${file}\n`);
  }
}
