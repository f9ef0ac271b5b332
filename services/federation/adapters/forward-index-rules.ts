/** What both indexes of forwards say in the same words. */
import { AgentOsError } from '../../platform/errors.ts';
import type { AuditFacts } from '../../platform/audit/audit-row.ts';
import type { ForwardedTo, ForwardRecord } from '../ports/forward-index.ts';

export const forwardNotFound = (forwardId: string): AgentOsError =>
  new AgentOsError('not_found', { message: `There is no forward ${forwardId}.`, details: { resource: 'forward', forward_id: forwardId } });

/** One forward has one run, and one run one forward: anything else is a node that contradicts itself. */
export const forwardedElsewhere = (forwardId: string): AgentOsError =>
  new AgentOsError('conflict', {
    message: `The run that the other node named for forward ${forwardId} does not belong to it: either the forward has another run already, or another forward has this one.`,
    details: { reason: 'forward_run_taken', forward_id: forwardId },
  });

export function runForwarded({ forwardId, targetStackId, agentId }: Pick<ForwardRecord, 'forwardId' | 'targetStackId' | 'agentId'>, { runId, status }: ForwardedTo): AuditFacts {
  return { action: 'run.forward', resource: { type: 'run', id: runId }, peer: targetStackId, details: { forward_id: forwardId, agent_id: agentId, status } };
}
