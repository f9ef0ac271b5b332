/**
 * Where log lines go: a file descriptor, written once a turn of the event loop with all lines of that turn, because a
 * system call costs more than a line. Lines that come with every request may wait for those of a few turns. What is left
 * when the process exits is written then, and a fatal line at once.
 */
import { writeSync } from 'node:fs';

/** Lines that are gathered at most; beyond, they are written in the middle of a turn. */
const MAX_GATHERED = 65_536;
/** Longest wait of a line that every request writes, in milliseconds. */
const FREQUENT_WAIT_MS = 10;
const BUSY_PAUSE_MS = 5;

export class LineOutput {
  readonly #fd: number;
  #text = '';
  #isScheduled = false;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(fd: number) {
    this.#fd = fd;
    process.on('exit', () => this.flushSync());
  }

  write(line: string): void {
    if (this.#isClosed) return;
    this.#text += line;
    if (this.#text.length >= MAX_GATHERED) this.flushSync();
    else if (!this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(() => {
        this.#isScheduled = false;
        this.flushSync();
      });
    }
  }

  /** For lines of which there are many: in their order with all others, and a few milliseconds later at most. */
  writeFrequent(line: string): void {
    if (this.#isClosed) return;
    this.#text += line;
    if (this.#text.length >= MAX_GATHERED) this.flushSync();
    else if (!this.#isScheduled) this.#timer ??= setTimeout(() => this.flushSync(), FREQUENT_WAIT_MS);
  }

  flushSync(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#text === '') return;
    let rest = Buffer.from(this.#text);
    this.#text = '';
    while (rest.length > 0 && !this.#isClosed) {
      try {
        rest = rest.subarray(writeSync(this.#fd, rest));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        // A reader who has gone is no reason to stop serving; a pipe that is full is waited for.
        if (code === 'EPIPE') this.#isClosed = true;
        else if (code === 'EAGAIN' || code === 'EBUSY') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BUSY_PAUSE_MS);
        else throw error;
      }
    }
  }
}
