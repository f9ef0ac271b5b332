/** What another service answered, held to the contract and to what was asked: a node speaks for this tenant and run alone. */
import { createParser } from 'eventsource-parser';
import { validators } from '../../../generated/validators/schemas.js';
import type { EventEnvelope, Run } from '../../../generated/types/index.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { impossible } from './node-requests.ts';

/** The longest frame of one event, in characters. */
const LONGEST_FRAME = 8 * 1024 * 1024;

/** @throws AgentOsError dependency_unavailable when it does not fit the schema. */
export function conforming<Body>(stackId: string, schema: keyof typeof validators, answer: unknown): Body {
  const validate = validators[schema];
  if (validate(answer)) return answer as Body;
  const [fault] = validate.errors ?? [];
  throw impossible(stackId, `${schema}${fault?.instancePath ?? ''} ${fault?.message ?? 'does not fit'}`);
}

/** The run in `{run}`. @param runId what was asked for; null: a new one */
export function runIn(stackId: string, auth: AuthContext, runId: string | null, answer: unknown): Run {
  const { run } = conforming<{ readonly run: Run }>(stackId, 'RunEnvelope', answer);
  if (run.tenant_id !== auth.tenant_id || (runId !== null && run.run_id !== runId)) throw impossible(stackId, 'it is about another run than was asked for');
  return run;
}

/** Envelopes of one stream. A connection that breaks ends it as one that was closed does. @throws AgentOsError dependency_unavailable for what is not of this tenant and run. */
export async function* eventsIn(stackId: string, auth: AuthContext, runId: string, body: AsyncIterable<Uint8Array>): AsyncGenerator<EventEnvelope, void> {
  const arrived: string[] = [];
  let tooLong = false;
  const parser = createParser({
    onEvent: (frame) => void arrived.push(frame.data),
    onError: ({ type }) => void (tooLong ||= type === 'max-buffer-size-exceeded'),
    maxBufferSize: LONGEST_FRAME,
  });
  const decoder = new TextDecoder();
  for await (const chunk of untilBroken(body)) {
    parser.feed(decoder.decode(chunk, { stream: true }));
    for (const data of arrived.splice(0)) yield envelopeIn(stackId, auth, runId, data);
    if (tooLong) throw impossible(stackId, `an event of run ${runId} is longer than ${LONGEST_FRAME} characters`);
  }
}

async function* untilBroken(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const chunks = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await chunks.next().catch(() => null);
      if (next === null || next.done === true) return;
      yield next.value;
    }
  } finally {
    await chunks.return?.().catch(() => undefined);
  }
}

function envelopeIn(stackId: string, auth: AuthContext, runId: string, data: string): EventEnvelope {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    throw impossible(stackId, `an event of run ${runId} is not JSON`);
  }
  const envelope = conforming<EventEnvelope>(stackId, 'EventEnvelope', value);
  const { tenant_id: tenantId, run_id: ofRun } = envelope.event;
  if (tenantId !== auth.tenant_id || ofRun !== runId) throw impossible(stackId, 'its stream holds an event of another run than was asked for');
  return envelope;
}
