/**
 * Group commit: writes that arrive together share one transaction, and each still gets its own verdict.
 *
 * A lane has one flush under way at a time. A write never waits for company: an idle lane flushes it at once, and
 * what arrives meanwhile gathers for the next flush. Two writes with the same key never share a flush and are flushed
 * in the order they came, so a flush may assume that its writes do not depend on each other.
 *
 * Groups. A group (a tenant, say) has writes in one flush at a time, because two flushes would only wait for each other's
 * locks; with a lane to spare, writes of other groups do not wait for that flush. A flush takes from the groups in turn,
 * so that who has a thousand writes waiting gets no more of it than who has two.
 *
 * Verdicts. The flush answers one result or one Error for each write. When it throws, what happened decides: if the
 * error carries `rolledBack`, nothing was applied and every write is tried alone, so that one poisonous write cannot
 * fail its neighbours; otherwise nobody knows, every write of the flush is failed with that error, and the callers
 * settle it by reading back.
 */
export interface GroupCommitOptions<Op, Result> {
  /** Writes the ops in one transaction and answers a verdict for each, in order. */
  readonly flush: (ops: readonly Op[]) => Promise<ReadonlyArray<Result | Error>>;
  /** Ops with equal keys keep their order and never share a flush. No key: no order. */
  readonly key?: (op: Op) => string;
  /** Ops of one group are in one flush at a time, in the order they came; equal keys are of one group. Absent: no groups. */
  readonly group?: (op: Op) => string;
  /** Flushes under way at once; 1 when absent. Equal keys are kept apart over all lanes. */
  readonly lanes?: number;
  /** Ops in one flush; 128 when absent. */
  readonly maxBatch?: number;
  /** Ops waiting at most; beyond it `submit` rejects with what `overload` makes. 10,000 when absent. */
  readonly maxWaiting?: number;
  readonly overload?: () => Error;
  /** Called after each flush, for metrics. */
  readonly onFlush?: (flush: { readonly size: number; readonly durationMs: number; readonly failed: boolean; readonly waiting: number }) => void;
}

/** Wrap or mark an error with this when the flush's transaction is known to have left nothing behind. */
export class FlushRolledBackError extends Error {
  readonly rolledBack = true;
  constructor(cause: unknown) {
    super(`The flush was rolled back: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.name = 'FlushRolledBackError';
  }
}

interface Waiting<Op, Result> {
  readonly op: Op;
  /** null: there are no groups. */
  readonly group: string | null;
  readonly key: string | null;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

export class GroupCommit<Op, Result> {
  readonly #options: GroupCommitOptions<Op, Result>;
  readonly #lanes: number;
  readonly #maxBatch: number;
  readonly #maxWaiting: number;
  /** What waits, by group; the group whose turn is next comes first. */
  readonly #lines = new Map<string | null, Waiting<Op, Result>[]>();
  #waiting = 0;
  readonly #busyGroups = new Set<string>();
  readonly #busyKeys = new Set<string>();
  #flushing = 0;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(options: GroupCommitOptions<Op, Result>) {
    this.#options = options;
    this.#lanes = options.lanes ?? 1;
    this.#maxBatch = options.maxBatch ?? 128;
    this.#maxWaiting = options.maxWaiting ?? 10_000;
  }

  /** Ops accepted and not yet handed to a flush. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Resolves with the op's own verdict once it is durable. */
  submit(op: Op): Promise<Result> {
    if (this.#closed) return Promise.reject(new Error('The writer is closed: the service is stopping.'));
    if (this.#waiting >= this.#maxWaiting) {
      return Promise.reject(this.#options.overload?.() ?? new Error(`${this.#maxWaiting} writes are waiting already.`));
    }
    return new Promise<Result>((resolve, reject) => {
      const group = this.#options.group?.(op) ?? null;
      const item = { op, group, key: this.#options.key?.(op) ?? null, resolve, reject };
      const line = this.#lines.get(group);
      if (line === undefined) this.#lines.set(group, [item]);
      else line.push(item);
      this.#waiting += 1;
      this.#pump();
    });
  }

  /** Takes no more ops; resolves when all accepted ones have their verdict. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#flushing === 0 && this.#waiting === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #pump(): void {
    while (this.#flushing < this.#lanes && this.#waiting > 0) {
      const batch = this.#take();
      if (batch.length === 0) break;
      this.#flushing += 1;
      void this.#run(batch);
    }
    if (this.#flushing === 0 && this.#waiting === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  /** One op of each group in turn until the flush is full; groups that are left with some come last next time. */
  #take(): Waiting<Op, Result>[] {
    const lines = [...this.#lines].filter(([group]) => group === null || !this.#busyGroups.has(group)).map(([group, line]) => ({ group, line, takeable: this.#takeable(line) }));
    const batch: Waiting<Op, Result>[] = [];
    for (let round = 0, more = true; more && batch.length < this.#maxBatch; round += 1) {
      more = false;
      for (const { takeable } of lines) {
        if (round >= takeable.length || batch.length >= this.#maxBatch) continue;
        batch.push(takeable[round]!);
        more = true;
      }
    }
    const taken = new Set(batch);
    for (const { group, line } of lines) {
      const left = line.filter((item) => !taken.has(item));
      if (left.length === line.length) continue;
      this.#lines.delete(group);
      if (left.length > 0) this.#lines.set(group, left);
    }
    for (const { key, group } of batch) {
      if (key !== null) this.#busyKeys.add(key);
      if (group !== null) this.#busyGroups.add(group);
    }
    this.#waiting -= batch.length;
    return batch;
  }

  /** An op whose key is busy, or stands behind an equal key, stays in line. */
  #takeable(line: readonly Waiting<Op, Result>[]): Waiting<Op, Result>[] {
    const takeable: Waiting<Op, Result>[] = [];
    const keys = new Set<string>();
    for (const item of line) {
      if (takeable.length === this.#maxBatch) break;
      if (item.key !== null && (this.#busyKeys.has(item.key) || keys.has(item.key))) continue;
      if (item.key !== null) keys.add(item.key);
      takeable.push(item);
    }
    return takeable;
  }

  async #run(batch: readonly Waiting<Op, Result>[]): Promise<void> {
    try {
      await this.#flush(batch, true);
    } finally {
      for (const { key, group } of batch) {
        if (key !== null) this.#busyKeys.delete(key);
        if (group !== null) this.#busyGroups.delete(group);
      }
      this.#flushing -= 1;
      this.#pump();
    }
  }

  async #flush(batch: readonly Waiting<Op, Result>[], mayRetryAlone: boolean): Promise<void> {
    const startedAt = performance.now();
    let verdicts: ReadonlyArray<Result | Error>;
    try {
      verdicts = await this.#options.flush(batch.map((item) => item.op));
      if (verdicts.length !== batch.length) throw new Error(`A flush of ${batch.length} writes answered ${verdicts.length} verdicts.`);
    } catch (error) {
      this.#report(batch.length, startedAt, true);
      if (batch.length > 1 && mayRetryAlone && (error as { rolledBack?: unknown })?.rolledBack === true) {
        for (const item of batch) await this.#flush([item], false);
        return;
      }
      const reason = error instanceof FlushRolledBackError ? error.cause : error;
      for (const item of batch) item.reject(reason);
      return;
    }
    this.#report(batch.length, startedAt, false);
    for (const [index, verdict] of verdicts.entries()) {
      if (verdict instanceof Error) batch[index]!.reject(verdict);
      else batch[index]!.resolve(verdict as Result);
    }
  }

  #report(size: number, startedAt: number, failed: boolean): void {
    this.#options.onFlush?.({ size, durationMs: performance.now() - startedAt, failed, waiting: this.#waiting });
  }
}
