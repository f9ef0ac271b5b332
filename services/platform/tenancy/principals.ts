/** Principals of a tenant: the rules, over the directory. Serves operators and the tenant's own administrators alike. */
import { isPrincipalId } from '../auth/claims.ts';
import type { PrincipalWrite } from '../../../generated/types/index.ts';
import type { AuthContext } from './auth-context.ts';
import type { DirectoryPort, Page, StoredPrincipal } from './directory.ts';
import { invalidMember, judgeChangeOf, judgeRoles } from './grants.ts';
import { scopesOfRoles } from './roles.ts';
import { principalNotFound } from './tenant-errors.ts';

export interface Principals {
  list(auth: AuthContext, tenantId: string, page: Page): Promise<{ readonly principals: readonly StoredPrincipal[]; readonly hasMore: boolean }>;
  /** @throws AgentOsError not_found. */
  get(auth: AuthContext, tenantId: string, principalId: string): Promise<StoredPrincipal>;
  /** Creates or replaces. Keys lose what the new roles do not hold. @throws AgentOsError invalid_request, forbidden, not_found. */
  put(auth: AuthContext, tenantId: string, principalId: string, write: PrincipalWrite): Promise<{ readonly principal: StoredPrincipal; readonly created: boolean }>;
  /** Revokes its keys with it. @throws AgentOsError not_found, forbidden. */
  delete(auth: AuthContext, tenantId: string, principalId: string): Promise<{ readonly revokedKeys: number }>;
}

export function createPrincipals(directory: DirectoryPort): Principals {
  return {
    list: (auth, tenantId, page) => directory.listPrincipals(auth, tenantId, page),

    async get(auth, tenantId, principalId) {
      const principal = await directory.getPrincipal(auth, tenantId, principalId);
      if (principal === null) throw principalNotFound(principalId);
      return principal;
    },

    async put(auth, tenantId, principalId, write) {
      if (!isPrincipalId(principalId)) throw invalidMember('/path/principal_id', 'A principal id has 1 to 256 printable characters.');
      let created = false;
      const principal = await directory.changePrincipal(auth, tenantId, principalId, (current) => {
        created = current === null;
        if (current !== null) judgeChangeOf(auth, current);
        const roles = judgeRoles(auth, write.principal_type, write.roles, current?.roles ?? []);
        return {
          principal: { tenantId, principalId, principalType: write.principal_type, displayName: write.display_name ?? principalId, roles },
          keys: { roles, scopes: scopesOfRoles(roles) },
        };
      });
      return { principal, created };
    },

    delete: (auth, tenantId, principalId) => directory.deletePrincipal(auth, tenantId, principalId, (current) => judgeChangeOf(auth, current)),
  };
}
