/** Every history that a release recorded leads to the same decisions today (reliability: replay). */
import { describe, expect, it } from 'vitest';
import { replayRun } from '../../services/agent-orchestrator/runtime/replay.ts';
import { verifies } from '../http/verifies.ts';
import { recordScenario } from './record.ts';
import { readRecording, recordingNames } from './recordings.ts';
import { SCENARIOS } from './scenarios.ts';

const names = recordingNames();

describe('the corpus', () => {
  it('has every scenario', () => {
    expect(names).toEqual(expect.arrayContaining(SCENARIOS.map(({ name }) => `${name}.json`)));
  });

  it.each(names)('%s replays to the decisions that were recorded', verifies(['PRS-5.2-08', 'PRS-3.1-03'], (name: string) => {
    const { work, events, report } = readRecording(name);
    expect(report.agreed, 'it was recorded whole').toBe(true);
    expect(replayRun(work, events)).toEqual(report);
  }));

  it.each(names)('%s is noticed when one decision of it is changed', (name) => {
    const { work, events } = readRecording(name);
    for (const [index, event] of events.entries()) {
      if (event.type !== 'agentos.run.step.started' && event.type !== 'agentos.run.completed') continue;
      const changed = events.map((each, at) => (at === index ? { ...each, eventId: `${event.eventId}_other` } : each));
      expect(replayRun(work, changed).agreed, `event ${event.sequence}`).toBe(false);
    }
  });

  it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))('%s is still written as it was recorded', async (name, scenario) => {
    const recorded = readRecording(`${name}.json`);
    const now = await recordScenario(scenario);
    expect(now.events.map(({ eventId, type }) => `${eventId} ${type}`)).toEqual(recorded.events.map(({ eventId, type }) => `${eventId} ${type}`));
    // What a tool answers may change from release to release, and with it the input of the next call; the steps may not.
    const steps = ({ decisions }: typeof now.report) => decisions.map(({ step, kind, agreed }) => [step, kind, agreed]);
    expect(steps(now.report)).toEqual(steps(recorded.report));
  });
});
