/**
 * How much of its budgets each tenant has used, for tenants that have metric series of their own (PRS 9.3, 15.5).
 *
 * Reading a budget asks the ledger, so readers of metrics never wait for it: they are given what was read last, and a
 * reading that is older than a quarter of a minute starts the next one in the background, tenant by tenant.
 */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';
import type { Metrics } from '../../platform/telemetry/metrics.ts';
import { statedBudgets } from '../budgets/effective-budgets.ts';
import type { UsagePort } from '../ports/usage.ts';

export interface BudgetReaders {
  readonly usage: Pick<UsagePort, 'budgets'>;
  readonly directory: Pick<DirectoryPort, 'getTenant'>;
}

type Shares = Readonly<Record<string, number>>;

const KEEP_MS = 15_000;

export function watchBudgets({ tenants }: Pick<Metrics, 'tenants'>, readers: BudgetReaders, now: () => number = () => performance.now()): void {
  let last: ReadonlyMap<string, Shares> = new Map();
  let readAtMs = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | null = null;
  tenants.gauge(
    { name: 'agentos_tenant_budget_used_ratio', help: 'Share of a tenant’s budgets that is spent or reserved in the window that is open, 0 to 1 and above; of its budgets of that window the fullest.' },
    'window',
    async (holders) => {
      if (reading === null && now() - readAtMs >= KEEP_MS) {
        reading = readAll(readers, holders).then((read) => {
          last = read;
        }).catch(() => {
          // The ledger is away, which other metrics tell of; what is not known is not shown.
          last = new Map();
        }).finally(() => {
          readAtMs = now();
          reading = null;
        });
      }
      return last;
    },
  );
}

async function readAll(readers: BudgetReaders, tenantIds: readonly string[]): Promise<ReadonlyMap<string, Shares>> {
  const read = new Map<string, Shares>();
  for (const tenantId of tenantIds) {
    const shares = await sharesOf(readers, tenantId);
    if (shares !== null) read.set(tenantId, shares);
  }
  return read;
}

/** null: the tenant has no budgets. By window, e.g. `day`. */
async function sharesOf({ usage, directory }: BudgetReaders, tenantId: string): Promise<Shares | null> {
  const auth: AuthContext = { tenant_id: tenantId, principal: { principal_id: 'svc_metrics', principal_type: 'service' }, scopes: [], roles: [] };
  const tenant = await directory.getTenant(auth, tenantId);
  const stated = tenant === null ? [] : statedBudgets(tenant);
  if (stated.length === 0) return null;
  const states = await usage.budgets(auth);
  const shares: Record<string, number> = {};
  for (const { scope, id, window, maxTokens, maxCostMicroUsd } of stated) {
    shares[window] ??= 0;
    for (const state of states) {
      if (state.scope !== scope || state.window !== window || (id !== null && id !== state.scopeId)) continue;
      const tokens = share(state.spentTokens + state.reservedTokens, maxTokens);
      const cost = share(state.spentMicroUsd + state.reservedMicroUsd, maxCostMicroUsd);
      shares[window] = Math.max(shares[window], tokens, cost);
    }
  }
  return shares;
}

/** A budget of nothing is used up. */
const share = (used: number, limit: number | null): number => (limit === null ? 0 : limit === 0 ? 1 : used / limit);
