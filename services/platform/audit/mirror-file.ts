/** The file of a mirror: appended to, set aside when it is large, and opened anew when somebody else (`logrotate`, another process of the node) put it aside. */
import { createWriteStream, fstatSync, statSync, type WriteStream } from 'node:fs';
import { keepParts, setAsideBeyond } from './file-parts.ts';

export interface MirrorLimits {
  /** Beyond it a new part begins. */
  readonly bytes: number;
  /** Parts that are kept beside the file. */
  readonly parts: number;
}

/** Between two looks at whether the file is still the one that is open. */
const LOOK_MS = 1_000;

export class MirrorFile {
  readonly #path: string;
  readonly #limits: MirrorLimits;
  readonly #onError: (error: Error) => void;
  readonly #ending = new Set<Promise<void>>();
  #stream: WriteStream;
  #opened: number | null = null;
  #lookedMs = performance.now();

  constructor(path: string, limits: MirrorLimits, onError: (error: Error) => void) {
    this.#path = path;
    this.#limits = limits;
    this.#onError = onError;
    this.#stream = this.#open();
  }

  get waitingBytes(): number {
    return this.#stream.writableLength;
  }

  get broken(): boolean {
    return this.#stream.destroyed;
  }

  write(text: string): void {
    if (performance.now() - this.#lookedMs >= LOOK_MS) this.#look();
    this.#stream.write(text);
  }

  async close(): Promise<void> {
    this.#end();
    await Promise.all(this.#ending);
  }

  #look(): void {
    this.#lookedMs = performance.now();
    try {
      if (setAsideBeyond(this.#path, this.#limits.bytes)) keepParts(this.#path, this.#limits.parts);
      const there = statSync(this.#path, { throwIfNoEntry: false });
      if (this.#opened === null || there?.ino === this.#opened) return;
      this.#end();
      this.#stream = this.#open();
    } catch (error) {
      this.#onError(error as Error);
    }
  }

  #open(): WriteStream {
    this.#opened = null;
    const stream = createWriteStream(this.#path, { flags: 'a', mode: 0o600 });
    stream.on('open', (descriptor: number) => {
      if (stream === this.#stream) this.#opened = fstatSync(descriptor).ino;
    });
    stream.on('error', this.#onError);
    return stream;
  }

  /** What waits is written before it closes. */
  #end(): void {
    const stream = this.#stream;
    if (stream.destroyed) return;
    const ended = new Promise<void>((resolve) => stream.once('close', resolve).end()).finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
  }
}
