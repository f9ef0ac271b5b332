/**
 * Purging: what is left to do when a deleted tenant's grace period is over. Everything of the tenant goes but the audit,
 * which keeps who did what and no content.
 */
import type { Logger } from 'pino';

export interface PurgedTenant {
  readonly tenantId: string;
  /** Rows that were deleted, by table; over all attempts. */
  readonly rows: Readonly<Record<string, number>>;
}

export interface TenantPurge {
  /**
   * Purges every tenant whose time has come and answers those that are done. Safe to call from many processes at once:
   * one of them works. What an interrupted call leaves, the next one goes on with.
   */
  run(signal: AbortSignal): Promise<readonly PurgedTenant[]>;
}

export interface TenantPurgerOptions {
  /** Between two looks for a tenant whose time has come. */
  readonly intervalMs: number;
}

const DEFAULTS: TenantPurgerOptions = { intervalMs: 5_000 };

/** Looks again and again. */
export class TenantPurger {
  readonly #purge: TenantPurge;
  readonly #log: Logger;
  readonly #options: TenantPurgerOptions;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  #round: Promise<void> = Promise.resolve();

  constructor(purge: TenantPurge, log: Logger, options: Partial<TenantPurgerOptions> = {}) {
    this.#purge = purge;
    this.#log = log;
    this.#options = { ...DEFAULTS, ...options };
  }

  start(): void {
    this.#schedule();
  }

  /** Resolves when the batch under way is done; the rest waits for the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#round;
  }

  /** Replicas that started together do not look together. */
  #schedule(): void {
    if (this.#stopping.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#round = this.#look().finally(() => this.#schedule());
    }, this.#options.intervalMs * (0.75 + Math.random() / 2));
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    try {
      for (const { tenantId, rows } of await this.#purge.run(this.#stopping.signal)) this.#log.info({ tenant_id: tenantId, rows_deleted: rows }, 'A deleted tenant was purged.');
    } catch (error) {
      this.#log.warn({ err: error }, 'A deleted tenant could not be purged yet; what is done stays done, and the next round goes on.');
    }
  }
}
