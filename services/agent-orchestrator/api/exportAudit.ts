/** GET /v1/audit:export: the trail as lines of JSON, oldest first, to be kept and verified elsewhere (PRS 10.3). */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { AuditPort } from '../../platform/audit/audit.ts';
import { auditFilter, auditReader } from './audit-query.ts';

export const exportAudit = (audit: AuditPort): AgentOrchestratorHandlers['exportAudit'] =>
  async ({ query, auth, context }) => {
    const reader = await auditReader(audit, auth, 'audit.export', query);
    const lines = audit.export(reader, auditFilter(query), context.signal)[Symbol.asyncIterator]();
    // Read before the answer has begun, so that a store that is away is still a status.
    return { status: 200, lines: from(await lines.next(), lines), contentType: 'application/x-ndjson' };
  };

async function* from(first: IteratorResult<string>, rest: AsyncIterator<string>): AsyncIterable<string> {
  try {
    for (let line = first; line.done !== true; line = await rest.next()) yield line.value;
  } finally {
    await rest.return?.();
  }
}
