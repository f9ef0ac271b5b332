/** Audit records as the contract writes them: what they hold is the wire's already. */
import type { AuditRecord as WireAuditRecord } from '../../../generated/types/index.ts';
import type { AuditRecord } from '../../platform/audit/audit.ts';

export const auditToWire = (record: AuditRecord): WireAuditRecord => record as WireAuditRecord;
