/** GET /v1/audit: who did what, newest first (PRS 10.3). */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { AuditPort } from '../../platform/audit/audit.ts';
import { formatPosition, parsePosition } from '../../platform/audit/audit-record.ts';
import { auditFilter, auditReader } from './audit-query.ts';
import { auditToWire } from './audit-wire.ts';

const DEFAULT_LIMIT = 100;

export const listAudit = (audit: AuditPort): AgentOrchestratorHandlers['listAudit'] =>
  async ({ query, auth, context }) => {
    const after = query.after === undefined ? undefined : parsePosition(query.after);
    const reader = await auditReader(audit, auth, 'audit.read', query);
    const page = await audit.list(reader, { ...auditFilter(query), limit: query.limit ?? DEFAULT_LIMIT, ...(after === undefined ? {} : { after }) });
    return {
      status: 200,
      body: {
        tenant_id: reader.tenant_id,
        records: page.records.map(auditToWire),
        has_more: page.next !== null,
        ...(page.next === null ? {} : { next: formatPosition(page.next) }),
        correlation_id: context.correlationId,
      },
    };
  };
