/**
 * Who reads asks every process that writes a journal to ship it first, so that what was answered anywhere is found
 * everywhere. A process that does not say in time that it has is not waited for: it ships within a moment by itself.
 */
import type pg from 'pg';
import type { Logger } from 'pino';
import { fromDatabaseError } from '../../platform/db/sqlstate.ts';

export interface JournalPeersOptions {
  readonly pool: pg.Pool;
  readonly journalId: string;
  /** Ships what this process has. */
  readonly flush: () => Promise<void>;
  readonly log?: Logger | undefined;
}

interface Question {
  readonly told: Set<string>;
  /** Who was asked; null until that is known, which answers may overtake. */
  asked: readonly string[] | null;
  readonly done: () => void;
}

export const ASK_CHANNEL = 'agentos_journal_ask';
export const TOLD_CHANNEL = 'agentos_journal_told';
const PATIENCE_MS = 500;

/** $1 this journal, $2 the question. */
const ASK = {
  name: 'mp_ask_journals',
  text: `SELECT DISTINCT r.journal, set_config('synchronous_commit', 'off', true) AS commits, pg_notify('${ASK_CHANNEL}', $2 || ' ' || $1)::text AS sent FROM model_policy.usage_replicas r WHERE r.journal IS NOT NULL AND r.journal <> $1 AND r.alive_until > clock_timestamp()`,
};
const TELL = { name: 'mp_tell_journal', text: `SELECT set_config('synchronous_commit', 'off', true), pg_notify('${TOLD_CHANNEL}', $2 || ' ' || $1)` };

export class JournalPeers {
  readonly #options: JournalPeersOptions;
  readonly #questions = new Map<string, Question>();
  #asked = 0;
  #next: Promise<void> | null = null;

  constructor(options: JournalPeersOptions) {
    this.#options = options;
  }

  /** Readings of one tick share a question. @throws AgentOsError dependency_unavailable. */
  ask(): Promise<void> {
    this.#next ??= Promise.resolve().then(() => {
      this.#next = null;
      return this.#ask();
    });
    return this.#next;
  }

  async #ask(): Promise<void> {
    const { pool, journalId } = this.#options;
    const question = `${journalId}:${(this.#asked += 1)}`;
    let timer: NodeJS.Timeout | undefined;
    const answered = new Promise<void>((done) => this.#questions.set(question, { told: new Set(), asked: null, done }));
    try {
      const { rows } = await pool.query<{ journal: string }>({ ...ASK, values: [journalId, question] });
      this.#questions.get(question)!.asked = rows.map((row) => row.journal);
      this.#look(question);
      await Promise.race([answered, new Promise<void>((resolve) => (timer = setTimeout(resolve, PATIENCE_MS)))]);
    } catch (error) {
      throw fromDatabaseError(error);
    } finally {
      clearTimeout(timer);
      this.#questions.delete(question);
    }
  }

  received(channel: string, payload: string): void {
    const [question, journalId] = payload.split(' ') as [string, string];
    if (channel === TOLD_CHANNEL) this.#told(question, journalId);
    else if (journalId !== this.#options.journalId) void this.#tell(question);
  }

  #told(question: string, journalId: string): void {
    this.#questions.get(question)?.told.add(journalId);
    this.#look(question);
  }

  #look(question: string): void {
    const each = this.#questions.get(question);
    if (each?.asked?.every((journalId) => each.told.has(journalId)) === true) each.done();
  }

  async #tell(question: string): Promise<void> {
    const { pool, journalId, flush, log } = this.#options;
    try {
      await flush();
      await pool.query({ ...TELL, values: [journalId, question] });
    } catch (error) {
      log?.debug({ err: error }, 'Another process asked for what this one has in its journal; it will be shipped by itself.');
    }
  }
}
