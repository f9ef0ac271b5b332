/** How many event streams may be open at once, on this process and for one tenant. */
import { AgentOsError } from '../errors.ts';

export interface StreamAdmission {
  /** Counts a stream in. Call the answer, once, when it has ended. @throws AgentOsError quota_exceeded. */
  enter(tenantId: string): () => void;
}

export function createStreamAdmission(limits: { readonly total: number; readonly perTenant: number }): StreamAdmission {
  const byTenant = new Map<string, number>();
  let total = 0;
  return {
    enter(tenantId) {
      const used = byTenant.get(tenantId) ?? 0;
      if (total >= limits.total || used >= limits.perTenant) {
        const [limit, used_] = used >= limits.perTenant ? [limits.perTenant, used] : [limits.total, total];
        throw new AgentOsError('quota_exceeded', {
          message: `${used_} event streams are open, which is the limit. Close one, or read with a cursor later.`,
          details: { tenant_id: tenantId, limit, used: used_, reason: 'max_event_streams' },
          retryAfterSeconds: 5,
        });
      }
      total += 1;
      byTenant.set(tenantId, used + 1);
      let left = false;
      return () => {
        if (left) return;
        left = true;
        total -= 1;
        const now = byTenant.get(tenantId)! - 1;
        if (now === 0) byTenant.delete(tenantId);
        else byTenant.set(tenantId, now);
      };
    },
  };
}
