/** What is told of forwards and of runs that peers sent: to the audit trail, the metrics and the log. */
import type { Logger } from 'pino';
import { Counter } from 'prom-client';
import type { AuditPort } from '../../platform/audit/audit.ts';
import { auditRow, type AuditFacts, type AuditOutcome } from '../../platform/audit/audit-row.ts';
import { originOf } from '../../platform/audit/request-origin.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { Metrics } from '../../platform/telemetry/metrics.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ForwardRecord } from '../ports/forward-index.ts';
import type { ForwardedRun } from '../ports/peer.ts';

export interface ForwardObserver {
  /** The record of the deed itself stands in the transaction that completes the forward. */
  forwarded(auth: AuthContext, forward: ForwardRecord, how: { readonly replayed: boolean }): void;
  tryingAgain(auth: AuthContext, forward: ForwardRecord, error: AgentOsError, attempt: number): void;
  notForwarded(auth: AuthContext, forward: ForwardRecord, error: unknown): Promise<void>;
  /** @throws AgentOsError dependency_unavailable when it cannot be recorded: the peer then asks again and finds the same run. */
  received(auth: AuthContext, made: ForwardedRun): Promise<void>;
  notReceived(auth: AuthContext, agentId: string, error: unknown): Promise<void>;
}

export interface ObserverOptions {
  readonly audit: Pick<AuditPort, 'append'>;
  readonly metrics: Pick<Metrics, 'registry'>;
  readonly log: Logger;
}

const SERVICE = 'federation';

export function createForwardObserver({ audit, metrics: { registry }, log }: ObserverOptions): ForwardObserver {
  const forwards = new Counter({ name: 'agentos_federation_forwards_total', help: 'Forwards, by what became of them: forwarded, replayed, refused by the other node, failed.', labelNames: ['outcome'] as const, registers: [registry] });
  const again = new Counter({ name: 'agentos_federation_forward_retries_total', help: 'Attempts to forward a run that were followed by another one.', registers: [registry] });
  const received = new Counter({ name: 'agentos_federation_received_runs_total', help: 'Runs that peers sent here: accepted, refused, failed.', labelNames: ['outcome'] as const, registers: [registry] });
  const record = (auth: AuthContext, facts: AuditFacts): Promise<void> => audit.append(auth, [auditRow(SERVICE, auth, facts)]);
  // The refusal itself is what the caller has to hear; that it is not on record is for the operator.
  const tried = (auth: AuthContext, facts: AuditFacts): Promise<void> =>
    record(auth, facts).catch((error: unknown) => log.error({ err: error, tenant_id: auth.tenant_id, action: facts.action }, 'A failed deed could not be recorded.'));
  const of = (auth: AuthContext) => ({ tenant_id: auth.tenant_id, correlation_id: originOf(auth)?.correlationId });
  return {
    forwarded(auth, { forwardId, targetStackId, remote }, { replayed }) {
      forwards.inc({ outcome: replayed ? 'replayed' : 'forwarded' });
      if (!replayed) log.info({ ...of(auth), run_id: remote!.runId, peer: targetStackId, forward_id: forwardId }, 'Run forwarded.');
    },
    tryingAgain(auth, { forwardId, targetStackId }, error, attempt) {
      again.inc();
      log.warn({ err: error, ...of(auth), peer: targetStackId, forward_id: forwardId, attempt }, 'A run could not be forwarded; trying again.');
    },
    notForwarded(auth, { forwardId, targetStackId, agentId }, error) {
      const { outcome, code, label } = judged(error);
      forwards.inc({ outcome: label });
      log.warn({ err: error, ...of(auth), peer: targetStackId, forward_id: forwardId }, 'A run was not forwarded.');
      return tried(auth, { action: 'run.forward', outcome, resource: { type: 'forward', id: forwardId }, peer: targetStackId, details: { agent_id: agentId, code } });
    },
    async received(auth, { runId, status }) {
      await record(auth, { action: 'run.receive', resource: { type: 'run', id: runId }, details: { status } });
      received.inc({ outcome: 'accepted' });
      log.info({ ...of(auth), run_id: runId, peer: auth.peer }, 'Run received.');
    },
    notReceived(auth, agentId, error) {
      const { outcome, code, label } = judged(error);
      received.inc({ outcome: label });
      log.warn({ err: error, ...of(auth), peer: auth.peer }, 'A run of a peer was not taken.');
      return tried(auth, { action: 'run.receive', outcome, resource: { type: 'agent', id: agentId }, details: { code } });
    },
  };
}

function judged(error: unknown): { readonly outcome: AuditOutcome; readonly code: string; readonly label: 'refused' | 'failed' } {
  const code = error instanceof AgentOsError ? error.code : 'internal_error';
  if (code === 'dependency_unavailable' || code === 'internal_error' || code === 'timeout') return { outcome: 'failed', code, label: 'failed' };
  return { outcome: 'denied', code, label: 'refused' };
}
