/**
 * Whether many are being refused just now. Who comes alone is worth asking the database for; a crowd that is refused
 * again and again, as long as nothing is known to have changed, is not.
 */
const WINDOW_MS = 1_000;
/** So many refusals within a window or two are a crowd. */
const MANY = 16;

export class Crowd {
  #windowFromMs = Number.NEGATIVE_INFINITY;
  #now = 0;
  #before = 0;

  refused(nowMs: number): void {
    this.#turn(nowMs);
    this.#now += 1;
  }

  isMany(nowMs: number): boolean {
    this.#turn(nowMs);
    return this.#now + this.#before >= MANY;
  }

  #turn(nowMs: number): void {
    const passedMs = nowMs - this.#windowFromMs;
    if (passedMs < WINDOW_MS) return;
    this.#before = passedMs < 2 * WINDOW_MS ? this.#now : 0;
    this.#now = 0;
    this.#windowFromMs = nowMs;
  }
}
