/** What the audit log says of runs: that one was created, was canceled, or asked for a tool that it may not have. */
import type { AuditFacts } from '../../platform/audit/audit-row.ts';
import type { EventDraft, NewRun } from '../ports/run-state.ts';

export function runCreated({ runId, agent, correlationId, lineage }: NewRun): AuditFacts {
  return {
    action: 'run.create',
    resource: { type: 'run', id: runId },
    correlationId,
    details: {
      agent_id: agent.agentId,
      agent_version: agent.version,
      ...(lineage === undefined ? undefined : { parent_run_id: lineage.parentRunId, root_run_id: lineage.rootRunId, retry_of: lineage.retryOf }),
    },
  };
}

export function runCanceled(run: { readonly run_id: string; readonly agent_id: string; readonly agent_version: string; readonly correlation_id: string }): AuditFacts {
  return {
    action: 'run.cancel',
    resource: { type: 'run', id: run.run_id },
    details: { agent_id: run.agent_id, agent_version: run.agent_version, run_correlation_id: run.correlation_id },
  };
}

/** The refused calls among the events of a transition: which tool, and by which rule; never what it was to be called with. */
export function toolsDenied(runId: string, events: readonly EventDraft[]): AuditFacts[] {
  const denied: AuditFacts[] = [];
  for (const { type, payload, stepId } of events) {
    if (type !== 'agentos.tool.call.completed') continue;
    const { tool_id: toolId, error } = payload as { readonly tool_id: string; readonly error: null | { readonly code: string; readonly details: Readonly<Record<string, unknown>> } };
    if (error?.code !== 'forbidden') continue;
    const { reason } = error.details;
    denied.push({ action: 'tool.denied', outcome: 'denied', resource: { type: 'tool', id: toolId }, details: { run_id: runId, step_id: stepId, reason: typeof reason === 'string' ? reason : null } });
  }
  return denied;
}
