/** Whose records are asked for, and which; reading another tenant's leaves a record with them. */
import { AgentOsError } from '../../platform/errors.ts';
import type { AuditFilter, AuditPort } from '../../platform/audit/audit.ts';
import { auditRow } from '../../platform/audit/audit-row.ts';
import { hasScopes, type AuthContext } from '../../platform/tenancy/auth-context.ts';
import { momentOf } from '../../platform/timestamp.ts';

export interface AuditQueryMembers {
  readonly from?: string;
  readonly to?: string;
  readonly action?: string;
  readonly outcome?: 'allowed' | 'denied' | 'failed';
  readonly principal_id?: string;
  readonly resource_type?: string;
  readonly resource_id?: string;
  readonly correlation_id?: string;
  readonly service?: string;
  readonly tenant_id?: string;
}

/** @throws AgentOsError invalid_request for a day that is not in the calendar. */
export function auditFilter(query: AuditQueryMembers): AuditFilter {
  const { action, outcome, service } = query;
  const [from, to] = (['from', 'to'] as const).map((name) => (query[name] === undefined ? undefined : momentOf(query[name], `/query/${name}`)));
  const named = { from, to, action, outcome, service, principalId: query.principal_id, resourceType: query.resource_type, resourceId: query.resource_id, correlationId: query.correlation_id };
  return Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined)) as AuditFilter;
}

/**
 * The context to read with: the caller's own, or that of the tenant it names. Reading another's, also by a service that acts
 * for it, is recorded before it begins, in the trail of the tenant that is read; one that has no trail gets none by it.
 * @throws AgentOsError forbidden without the scope audit:read-all; invalid_request for what can be no tenant's id.
 */
export async function auditReader(audit: AuditPort, auth: AuthContext, action: 'audit.read' | 'audit.export', query: AuditQueryMembers): Promise<AuthContext> {
  const tenantId = query.tenant_id ?? auth.tenant_id;
  const isOwn = tenantId === auth.tenant_id;
  if (isOwn && auth.acting === undefined) return auth;
  if (!isOwn && !hasScopes(auth, ['audit:read-all'])) {
    throw new AgentOsError('forbidden', {
      message: `Reading the audit trail of ${tenantId} needs the scope audit:read-all. Leave tenant_id out to read your own.`,
      details: { required_scopes: ['audit:read', 'audit:read-all'], missing_scopes: ['audit:read-all'] },
    });
  }
  if (tenantId.includes(',')) {
    const message = `${JSON.stringify(tenantId)} can be no tenant's id: it contains a comma.`;
    throw new AgentOsError('invalid_request', { message, details: { errors: [{ path: '/query/tenant_id', message }] } });
  }
  if ((await audit.heads(tenantId)).length > 0) {
    const { tenant_id: _tenant, ...filter } = query;
    await audit.append(auth, [auditRow('agent-orchestrator', auth, { action, tenantId, resource: { type: 'audit', id: tenantId }, details: { filter: { ...filter } } })]);
  }
  return isOwn ? auth : { ...auth, tenant_id: tenantId };
}
