/** Reads of secrets (PRS 10.2): which, from where, in which version; never what they hold. */
import type { SecretRead } from '../secrets/config-secrets.ts';
import { auditRow, PLATFORM_TENANT } from './audit-row.ts';
import type { BackgroundAudit } from './background-audit.ts';

/** For `config.secrets.attach`. Secrets are the node's own, and so is the chain that their reads stand in. */
export function recordSecretReads(service: string, background: BackgroundAudit): (read: SecretRead) => void {
  return ({ name, adapter, version, outcome, changed, atMs }) =>
    background.add(auditRow(service, null, {
      action: 'secret.read',
      outcome,
      tenantId: PLATFORM_TENANT,
      resource: { type: 'secret', id: name },
      details: { adapter, version, changed, read_at: new Date(atMs).toISOString() },
    }));
}
