/**
 * Forwarding (PRS 7.3, 7.4). A forward is written down before the other node hears of it and goes there under a key that
 * derives from what was written, so that whatever is lost on the way — an answer, a process, a connection — the same
 * request finds the same run.
 */
import type { FederationForwardRequest, TargetSelector } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { canonicalHash } from '../../platform/canonical.ts';
import { newId } from '../../platform/ids.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { BeginForward, ForwardIndexPort, ForwardKey, ForwardRecord, ForwardedTo } from '../ports/forward-index.ts';
import type { PeerCall } from '../ports/peer.ts';
import { withAttempts, isWorthRepeating, type AttemptPolicy } from './attempts.ts';
import { requireEventsUrlOf } from './events-url.ts';
import { forwardedContext, receivedKey, remoteKey } from './identity.ts';
import type { Nodes, Target } from './nodes.ts';
import { chooseTarget, possibleTargets } from './selection.ts';
import type { NodeIdentity } from '../peers/identity.ts';
import type { ForwardObserver } from './observer.ts';

export interface ForwardingDependencies {
  readonly node: NodeIdentity;
  readonly nodes: Nodes;
  readonly index: ForwardIndexPort;
  readonly observer: ForwardObserver;
  readonly attempts: AttemptPolicy;
  readonly idempotencyKeyRequired: boolean;
  readonly idempotencyTtlHours: number;
}

export interface ForwardCommand {
  readonly forward: FederationForwardRequest['forward'];
  /** From the header; the body's own goes before it. */
  readonly idempotencyKey: string | null;
  readonly correlationId: string;
  readonly traceparent: string;
}

export interface Forwarded extends ForwardedTo {
  readonly stackId: string;
  /** An earlier request under the same key began it. */
  readonly replayed: boolean;
}

export interface Forwarding {
  /** For a caller of this node. @throws AgentOsError as the node refused; not_found, conflict, dependency_unavailable. */
  forward(auth: AuthContext, command: ForwardCommand): Promise<Forwarded>;
  /** For a caller of another node, which sent the run here. */
  receive(auth: AuthContext, command: ForwardCommand): Promise<Forwarded>;
}

export function createForwarding(dependencies: ForwardingDependencies): Forwarding {
  const underWay: UnderWay = new Map();
  return {
    forward: (auth, command) => forward(dependencies, underWay, auth, command),
    receive: (auth, command) => receive(dependencies, auth, command),
  };
}

/** By tenant and forward: equal requests that arrive together send one, and are answered alike. */
type UnderWay = Map<string, Promise<ForwardRecord>>;

async function forward(dependencies: ForwardingDependencies, underWay: UnderWay, auth: AuthContext, command: ForwardCommand): Promise<Forwarded> {
  const key = keyOf(dependencies, command);
  const caller = forwardedContext(auth, command.forward.auth);
  const { nodes } = dependencies;
  const begun = await begin(dependencies, auth, command, key, await choose(dependencies, caller, command).catch((error: unknown) => ({ error })));
  if (begun.outcome === 'key_reused') throw keyReused();
  const replayed = begun.outcome === 'repeated';
  const record = begun.forward.remote !== null ? begun.forward : await together(underWay, begun.forward, () => send(dependencies, auth, caller, command, begun.forward, nodes.target(begun.forward.targetStackId)));
  dependencies.observer.forwarded(auth, record, { replayed });
  return { stackId: record.targetStackId, ...record.remote!, replayed };
}

function together(underWay: UnderWay, { tenantId, forwardId }: ForwardRecord, work: () => Promise<ForwardRecord>): Promise<ForwardRecord> {
  const key = `${tenantId}\n${forwardId}`;
  const known = underWay.get(key);
  if (known !== undefined) return known;
  const sent = work().finally(() => underWay.delete(key));
  underWay.set(key, sent);
  return sent;
}

/** A repeated forward goes where the first one went, whatever would be chosen now, and also where nothing can be chosen any more. */
async function begin({ index, idempotencyTtlHours }: ForwardingDependencies, auth: AuthContext, { forward: { run_request: run }, correlationId }: ForwardCommand, key: ForwardKey | null, chosen: Target | { readonly error: unknown }): Promise<BeginForward> {
  if ('error' in chosen) {
    const known = key === null ? null : await index.find(auth, run.agent_id, key);
    if (known === null) throw chosen.error;
    return known;
  }
  return index.begin(auth, {
    forwardId: newId('fwd'), targetStackId: chosen.peer.stack_id, run, correlationId,
    idempotency: key === null ? null : { ...key, ttlHours: idempotencyTtlHours },
  });
}

/** Sends what was written down, as often as is worth it, and writes down where it went. */
async function send(dependencies: ForwardingDependencies, auth: AuthContext, caller: AuthContext, command: ForwardCommand, begun: ForwardRecord, target: Target): Promise<ForwardRecord> {
  const { index, observer, attempts, node } = dependencies;
  const { forwardId } = begun;
  const request = { idempotencyKey: remoteKey(node.local.stack_id, forwardId), run: command.forward.run_request };
  try {
    const answered = await withAttempts(attempts, () => target.port.createRun(caller, target.peer, request, untilAnswered(command)), (error, attempt) => observer.tryingAgain(auth, begun, error, attempt));
    requireEventsUrlOf(target.peer, answered.eventsUrl);
    return await index.complete(auth, forwardId, answered).catch((error: unknown) => {
      throw error instanceof AgentOsError && error.code === 'conflict' ? contradictory(target.peer.stack_id, error) : error;
    });
  } catch (error) {
    // What was refused was not made. After anything else nobody knows, and the forward waits for who asks again.
    if (error instanceof AgentOsError && !mayExist(error)) await index.abandon(auth, forwardId);
    await observer.notForwarded(auth, begun, error);
    throw error;
  }
}

/** A refusal is an answer by the node's own rules, and none of them makes a run. */
const mayExist = (error: AgentOsError): boolean => error.code === 'dependency_unavailable' || isWorthRepeating(error);

/** That a run belongs to another forward is no mistake of the caller's. */
const contradictory = (stackId: string, cause: AgentOsError): AgentOsError =>
  new AgentOsError('dependency_unavailable', {
    message: `The answer of ${stackId} cannot be used: the run that it names belongs to another forward.`,
    retryable: false, details: { reason: 'answer_unusable', peer: stackId }, cause,
  });

async function receive(dependencies: ForwardingDependencies, auth: AuthContext, command: ForwardCommand): Promise<Forwarded> {
  const { node, nodes, observer } = dependencies;
  const origin = auth.peer!;
  const { stack_id: named, region } = command.forward.target_selector;
  const own = node.local;
  if ((named !== undefined && named !== own.stack_id) || (region !== undefined && own.region !== region)) throw notTheTarget(own.stack_id, command.forward.target_selector);
  const { peer, port } = nodes.target(own.stack_id);
  const { idempotency_key: bodyKey, ...run } = command.forward.run_request;
  const key = bodyKey ?? command.idempotencyKey;
  if (key === null) throw keyRequired();
  const caller = forwardedContext(auth, command.forward.auth);
  try {
    const made = await port.createRun(caller, peer, { idempotencyKey: receivedKey(origin, key), run }, untilAnswered(command));
    await observer.received(auth, made);
    return { stackId: own.stack_id, ...made, replayed: false };
  } catch (error) {
    await observer.notReceived(auth, run.agent_id, error);
    throw error;
  }
}

async function choose({ node, nodes }: ForwardingDependencies, auth: AuthContext, command: ForwardCommand): Promise<Target> {
  const { target_selector: selector } = command.forward;
  const candidates = await nodes.candidates(auth, possibleTargets(node, selector), untilAnswered(command));
  return nodes.target(chooseTarget(node.local, selector, candidates).stack_id);
}

/** A run is not given up because its caller hangs up: each request ends by its own time. */
const untilAnswered = ({ correlationId, traceparent }: ForwardCommand): PeerCall => ({ correlationId, traceparent, signal: new AbortController().signal });

function keyOf({ idempotencyKeyRequired }: ForwardingDependencies, { forward: body, idempotencyKey }: ForwardCommand): ForwardKey | null {
  const { idempotency_key: bodyKey, ...run } = body.run_request;
  const key = bodyKey ?? idempotencyKey;
  if (key === null && idempotencyKeyRequired) throw keyRequired();
  return key === null ? null : { key, requestHash: canonicalHash({ target_selector: body.target_selector, run_request: run, policy_context: body.auth.policy_context ?? null }) };
}

const keyRequired = (): AgentOsError =>
  new AgentOsError('invalid_request', {
    message: 'An idempotency key is required: send run_request.idempotency_key in the body or the Idempotency-Key header, and keep it over retries of the same request.',
    details: { reason: 'idempotency_key_required' },
  });

const keyReused = (): AgentOsError =>
  new AgentOsError('conflict', {
    message: 'The idempotency key was used for another forward. Use a new key for a new request.',
    details: { reason: 'idempotency_key_reused' },
  });

const notTheTarget = (stackId: string, selector: TargetSelector): AgentOsError =>
  new AgentOsError('conflict', {
    message: `A peer sent a run to ${stackId} that is meant for another node. Nodes do not relay: send it to that node.`,
    details: { reason: 'not_the_target', stack_id: stackId, selected: selector.stack_id ?? selector.region ?? null },
  });
