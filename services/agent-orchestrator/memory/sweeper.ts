/** Removes expired memory in the background, a bounded batch at a time, so that no write waits long behind it. */
import type { Logger } from 'pino';
import type { MemoryPort } from '../ports/memory.ts';

export interface SweeperOptions {
  readonly intervalMs: number;
  /** Items a batch. */
  readonly batch: number;
  /** Batches in a row; what is left waits for the next round. */
  readonly batches: number;
}

const DEFAULTS: SweeperOptions = { intervalMs: 10_000, batch: 500, batches: 20 };

export class MemorySweeper {
  readonly #memory: MemoryPort;
  readonly #log: Logger;
  readonly #options: SweeperOptions;
  #timer: NodeJS.Timeout | null = null;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(memory: MemoryPort, log: Logger, options: Partial<SweeperOptions> = {}) {
    this.#memory = memory;
    this.#log = log;
    this.#options = { ...DEFAULTS, ...options };
  }

  start(): void {
    this.#schedule();
  }

  /** Resolves when the batch under way is done. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#round;
  }

  /** Replicas that started together do not sweep together. */
  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#round = this.#sweep().finally(() => this.#schedule());
    }, this.#options.intervalMs * (0.75 + Math.random() / 2));
    this.#timer.unref();
  }

  async #sweep(): Promise<void> {
    try {
      for (let batch = 0; batch < this.#options.batches && !this.#stopped; batch += 1) {
        if ((await this.#memory.sweep(this.#options.batch)) < this.#options.batch) return;
      }
    } catch (error) {
      this.#log.warn({ err: error }, 'Expired memory could not be swept; it stays hidden, and the next round tries again.');
    }
  }
}
