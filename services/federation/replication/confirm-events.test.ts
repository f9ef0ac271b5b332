import { expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import type { EventEnvelope } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { CALLER, peerOf } from '../federation.fixture.ts';
import type { PeerPort } from '../ports/peer.ts';
import { createConfirmEvents, type ConfirmLimits } from './confirm-events.ts';
import { eventAt } from './scripted-node.fixture.ts';
import { sleepUntil } from './waiting.ts';

const CALL = { correlationId: 'corr_x', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', signal: new AbortController().signal };
const of = (runId: string, sequence: number) => eventAt(sequence, 0, { run_id: runId, tenant_id: CALLER.tenant_id });

/** Runs of three events that go on: after those, nothing is said. `run_endless` never stops, `run_silent` says nothing at all. */
function world(limits: Partial<ConfirmLimits> = {}) {
  const opened: string[] = [];
  let open = 0;
  const events = async function* (runId: string, after: number, signal: AbortSignal): AsyncGenerator<EventEnvelope> {
    open += 1;
    try {
      const length = runId === 'run_endless' ? Infinity : runId === 'run_silent' ? 0 : 3;
      for (let sequence = after + 1; sequence <= length && !signal.aborted; sequence += 1) yield { event: of(runId, sequence) };
      await sleepUntil(60_000, signal);
    } finally {
      open -= 1;
    }
  };
  const port = {
    async openEvents(auth: { readonly scopes: readonly string[] }, _peer: unknown, { runId, afterSequence }: { readonly runId: string; readonly afterSequence: number }, { signal }: { readonly signal: AbortSignal }) {
      expect(auth.scopes, 'asked with the right to read and no other').toEqual(['runs:read']);
      opened.push(`${runId} after ${afterSequence}`);
      if (runId === 'run_away') throw new AgentOsError('dependency_unavailable', { message: 'It is away.' });
      return events(runId, afterSequence, signal);
    },
  } as unknown as PeerPort;
  const confirm = createConfirmEvents({ target: (stackId) => ({ peer: peerOf(stackId), port }) }, { quietMs: 50, ...limits });
  const told = async (...places: readonly (readonly [runId: string, sequence: number])[]) => [...(await confirm(CALLER, 'stk_b', places.map(([runId, sequence]) => ({ runId, sequence })), CALL)).values()];
  return { told, opened, open: () => open };
}

it('tells what the node has at the places that are asked for, one connection a run', verifies(['PRS-7.4-08'], async () => {
  const here = world();
  expect(await here.told(['run_x', 3], ['run_y', 2], ['run_x', 2], ['run_x', 9], ['run_y', 0])).toEqual(expect.arrayContaining([of('run_x', 2), of('run_x', 3), of('run_y', 2)]));
  expect(here.opened.sort()).toEqual(['run_x after 1', 'run_y after 0']);
  await expect.poll(here.open, { message: 'connections are closed' }).toBe(0);
}));

it('reads no further than is asked, and not without end', async () => {
  const here = world({ mostEvents: 1_000 });
  expect(await here.told(['run_endless', 1], ['run_endless', 900], ['run_endless', 1_000_000_000])).toEqual([of('run_endless', 1), of('run_endless', 900)]);
});

it('says that it does not know where the node did not tell', async () => {
  await expect(world().told(['run_x', 1], ['run_away', 1])).rejects.toMatchObject({ code: 'dependency_unavailable' });
  await expect(world({ quietMs: 60_000, patienceMs: 100 }).told(['run_silent', 1])).rejects.toMatchObject({ code: 'dependency_unavailable', retryable: true, details: { reason: 'not_confirmed_in_time' } });
});
