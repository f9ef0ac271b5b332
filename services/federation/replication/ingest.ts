/**
 * Events that another node pushes (Appendix F.5; C-25 to C-28). The batch is taken or refused as a whole for who sends it
 * and for whom; its items are then judged one by one, and one that cannot be taken leaves the others alone.
 *
 * An event is taken only where its run can be elsewhere: not for a run of this node, whose log is written here alone, and
 * for a run that was forwarded from here only from the node that it went to. A node is believed about its own runs. A
 * caller of this node is not: what it hands over is of a run that it forwarded, and is compared with what the node of the
 * run says, which is what is kept.
 */
import { validators } from '../../../generated/validators/schemas.js';
import type { EventWire, FederationEventsIngestAnswer, FederationEventsIngestRequest } from '../../../generated/types/index.ts';
import { requireSameTenant } from '../../platform/auth/body-auth.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ReplicaPort } from '../ports/replica.ts';
import type { ConfirmEvents } from './confirm-events.ts';
import { eventDigest, type WireEvent } from './event-digest.ts';
import { placeOf } from './judge-events.ts';
import type { RunJudge, RunVerdict } from './run-judge.ts';
import { wholeEvent } from './whole-event.ts';

export interface IngestParts {
  readonly replica: ReplicaPort;
  readonly judge: RunJudge;
  /** Asked for what callers of this node hand over. */
  readonly confirm: ConfirmEvents;
  readonly ownStackId: string;
  /** Of the peers file as it stands now. */
  readonly isPeer: (stackId: string) => boolean;
  /** Told of each batch what became of its items. */
  readonly onJudged: (auth: AuthContext, sourceStackId: string, results: readonly Result[]) => Promise<void>;
}

export interface IngestCall {
  readonly correlationId: string;
  readonly traceparent: string;
  readonly signal: AbortSignal;
}

export type Result = NonNullable<FederationEventsIngestAnswer['results']>[number];
export type IngestOutcome = Pick<FederationEventsIngestAnswer, 'accepted' | 'rejected' | 'duplicates'> & { readonly results: Result[] };

/** @throws AgentOsError tenant_mismatch, invalid_request, conflict, forbidden, dependency_unavailable. */
export async function ingestEvents(parts: IngestParts, auth: AuthContext, body: FederationEventsIngestRequest, call: IngestCall): Promise<IngestOutcome> {
  requireSameTenant(auth, body.auth);
  const source = sourceOf(parts, auth, body);
  const items = body.events.map((item, index) => readItem(auth, item, index));
  const verdicts = await parts.judge(auth, new Set(items.flatMap(({ event }) => (event === null ? [] : [event.run_id]))), source, call);
  const traceparent = body.traceparent ?? call.traceparent;
  const whole: Taken[] = [];
  const agents = agentsOf(items);
  for (const { event, result } of items) {
    if (event === null) continue;
    const verdict = verdicts.get(event.run_id) as RunVerdict;
    const agentId = event.agent_id ?? agents.get(event.run_id) ?? ('agentId' in verdict ? verdict.agentId : null);
    if ('refused' in verdict) reject(result, verdict.refused);
    else if (agentId === null) reject(result, 'agent_unknown');
    else whole.push({ result, event: wholeEvent(event, { tenantId: auth.tenant_id, agentId, traceparent }) });
  }
  const taken = auth.peer === undefined ? await confirmed(parts, auth, source, whole, call) : whole;
  const stored = await parts.replica.store(auth, source, taken.map(({ event }) => event));
  taken.forEach(({ result }, at) => {
    if (stored[at] === 'duplicate') result.status = 'duplicate';
    else if (stored[at] === 'conflict') reject(result, 'conflict');
  });
  const results = items.map(({ result }) => result);
  await parts.onJudged(auth, source, results);
  const count = (status: string): number => results.filter((result) => result.status === status).length;
  const accepted = count('accepted');
  return { accepted, rejected: results.length - accepted, duplicates: count('duplicate'), results };
}

/** An event that can be stored, unless the store finds otherwise. */
interface Taken {
  readonly result: Result;
  readonly event: WireEvent;
}

/** Those that their node has as well, in its words: what makes an event the event that it is leaves out its time and trace. */
async function confirmed({ confirm }: IngestParts, auth: AuthContext, source: string, brought: readonly Taken[], call: IngestCall): Promise<readonly Taken[]> {
  if (brought.length === 0) return [];
  const told = await confirm(auth, source, brought.map(({ event }) => ({ runId: event.run_id, sequence: event.sequence })), call);
  return brought.flatMap(({ result, event }) => {
    const own = told.get(placeOf(event.run_id, event.sequence));
    if (own !== undefined && eventDigest(own) === eventDigest(event)) return [{ result, event: own }];
    reject(result, 'not_confirmed');
    return [];
  });
}

/** @throws AgentOsError invalid_request, conflict, forbidden. */
function sourceOf({ ownStackId, isPeer }: IngestParts, auth: AuthContext, body: FederationEventsIngestRequest): string {
  const told = body.ingest?.source_stack_id ?? body.peer_id ?? stackIdIn(body.peer) ?? auth.peer;
  if (told === undefined) {
    throw new AgentOsError('invalid_request', {
      message: 'The batch does not say which node its events come from. Name it in ingest.source_stack_id.',
      details: { reason: 'source_missing', errors: [{ path: '/ingest/source_stack_id', message: 'is missing, and so are peer_id and peer.stack_id' }] },
    });
  }
  if (auth.peer !== undefined && told !== auth.peer) {
    throw new AgentOsError('forbidden', { message: `${auth.peer} sends events of ${told}. A node sends its own events alone.`, details: { reason: 'source_not_sender', source_stack_id: told } });
  }
  if (told === ownStackId) {
    throw new AgentOsError('conflict', { message: `${told} is this node: its own events are written where they happen.`, details: { reason: 'source_is_this_node', source_stack_id: told } });
  }
  if (!isPeer(told)) {
    throw new AgentOsError('conflict', { message: `${told} is not a peer of this node. \`agentos federation add-peer\` makes it one.`, details: { reason: 'peer_unknown', source_stack_id: told } });
  }
  return told;
}

/** `peer` is the Appendix's answer about a peer, or the peer itself. */
function stackIdIn(peer: FederationEventsIngestRequest['peer']): string | undefined {
  const { stack_id: direct, peer: inner } = (peer ?? {}) as { stack_id?: unknown; peer?: { stack_id?: unknown } | null };
  const told = direct ?? inner?.stack_id;
  return typeof told === 'string' && told !== '' && told.length <= 256 ? told : undefined;
}

interface Item {
  readonly result: Result;
  /** null: it is refused already. */
  readonly event: EventWire | null;
}

function readItem(auth: AuthContext, item: unknown, index: number): Item {
  const inner = isObject(item) && item['event'] !== undefined ? item['event'] : item;
  const eventId = isObject(inner) && typeof inner['event_id'] === 'string' ? inner['event_id'].slice(0, 256) : undefined;
  const result: Result = { index, status: 'accepted', ...(eventId === undefined ? {} : { event_id: eventId }) };
  if (!validators.IngestItem(item)) return { result: reject(result, 'invalid'), event: null };
  const event = inner as EventWire;
  // A tenant's own events alone, whatever the sender is otherwise allowed (C-28).
  if (event.tenant_id !== undefined && event.tenant_id !== auth.tenant_id) return { result: reject(result, 'tenant_mismatch'), event: null };
  return { result, event };
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** What the events of a run say of its agent to those that leave it out. */
function agentsOf(items: readonly Item[]): ReadonlyMap<string, string> {
  const agents = new Map<string, string>();
  for (const { event } of items) if (event?.agent_id !== undefined && !agents.has(event.run_id)) agents.set(event.run_id, event.agent_id);
  return agents;
}

function reject(result: Result, reason: string): Result {
  return Object.assign(result, { status: 'rejected', reason });
}
