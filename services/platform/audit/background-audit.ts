/**
 * Records of what has no transaction: refusals, reads of secrets. They are written soon, many at once, and never hold up
 * what they are about. A store that is away is waited for; what does not fit into the queue meanwhile, or is refused again
 * and again, is counted and left out.
 */
import type { Logger } from 'pino';
import type { AuditPort } from './audit.ts';
import type { AuditRow } from './audit-row.ts';

export interface BackgroundAuditOptions {
  readonly log: Logger;
  /** Told how many records were left out. */
  readonly onOmitted?: (records: number) => void;
  /** Records that wait at most; 2,000 when absent. */
  readonly maxWaiting?: number;
  /** From the first of them to their write; 200 when absent. */
  readonly delayMs?: number;
}

type Draft = AuditRow | (() => Promise<AuditRow | null>);

const BATCH = 200;
/** Times that one batch is tried: a quarter of an hour of them. */
const MOST_TRIES = 100;
const LONGEST_PAUSE_MS = 10_000;

export class BackgroundAudit {
  readonly #options: BackgroundAuditOptions;
  #audit: AuditPort | null = null;
  #waiting: Draft[] = [];
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> | null = null;
  /** Of the batch at the head of the queue. */
  #failures = 0;

  constructor(options: BackgroundAuditOptions) {
    this.#options = options;
  }

  /** What was added before the store was open is written now. */
  attach(audit: AuditPort): void {
    this.#audit = audit;
    this.#schedule();
  }

  /** @param draft a function where something has to be looked up first; null from it: nothing is to be written after all. */
  add(draft: Draft): void {
    if (this.#waiting.length >= (this.#options.maxWaiting ?? 2_000)) return this.#options.onOmitted?.(1);
    this.#waiting.push(draft);
    this.#schedule();
  }

  /** Writes what waits; resolves also when that failed, after it was told. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#write();
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#waiting.length === 0) return;
    this.#options.onOmitted?.(this.#waiting.length);
    this.#options.log.error({ records: this.#waiting.length }, 'Audit records of refusals or secret reads are left out: the store was away until the end.');
  }

  #schedule(): void {
    if (this.#timer !== null || this.#audit === null || this.#waiting.length === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#writing ??= this.#write().finally(() => {
        this.#writing = null;
        this.#schedule();
      });
    }, Math.min((this.#options.delayMs ?? 200) * 2 ** this.#failures, LONGEST_PAUSE_MS)).unref();
  }

  #failed(error: unknown, drafts: readonly Draft[]): void {
    this.#failures += 1;
    if (this.#failures < MOST_TRIES) {
      this.#waiting.unshift(...drafts);
      if (this.#failures === 1) this.#options.log.warn({ err: error, records: this.#waiting.length }, 'Audit records of refusals or secret reads could not be written yet; they wait.');
      return;
    }
    this.#failures = 0;
    this.#options.onOmitted?.(drafts.length);
    this.#options.log.error({ err: error, records: drafts.length }, 'Audit records of refusals or secret reads could not be written and are left out.');
  }

  async #write(): Promise<void> {
    while (this.#audit !== null && this.#waiting.length > 0) {
      const drafts = this.#waiting.splice(0, BATCH);
      try {
        const rows = await Promise.all(drafts.map((draft) => (typeof draft === 'function' ? draft() : draft)));
        await this.#audit.append(null, rows.filter((row) => row !== null));
        this.#failures = 0;
      } catch (error) {
        this.#failed(error, drafts);
        return;
      }
    }
  }
}
