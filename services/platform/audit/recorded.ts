/**
 * Deeds that have no transaction to stand in: the record is written before they are done, so that none is done without
 * one; when they fail after all, a second record says so.
 */
import { AgentOsError } from '../errors.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import type { AuditPort } from './audit.ts';
import { auditRow, type AuditFacts } from './audit-row.ts';

export interface Recorder {
  readonly audit: Pick<AuditPort, 'append'>;
  /** e.g. `model-policy`: names the chain. */
  readonly service: string;
}

/** @throws AgentOsError dependency_unavailable when it cannot be recorded; then it is not done. */
export async function recorded<Result>({ audit, service }: Recorder, auth: AuthContext, facts: AuditFacts, work: () => Result | Promise<Result>): Promise<Result> {
  await audit.append(auth, [auditRow(service, auth, facts)]);
  try {
    return await work();
  } catch (error) {
    const code = error instanceof AgentOsError ? error.code : 'internal_error';
    await audit.append(auth, [auditRow(service, auth, { ...facts, outcome: 'failed', details: { ...facts.details, code } })]).catch(() => undefined);
    throw error;
  }
}
