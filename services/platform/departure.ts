/**
 * Hearing that a caller has gone. What is needed of an AbortSignal for that, without an EventTarget: in Node 20 making
 * one and listening to it costs more than the rest of a request's bookkeeping.
 */
export interface DepartureSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  /** As an AbortSignal's, which can stand in its place: each listener is called once, and never when it comes too late. */
  addEventListener(type: 'abort', listener: () => void, options?: { readonly once?: boolean }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

export class Departure implements DepartureSignal {
  aborted = false;
  reason: unknown = undefined;
  #listeners: (() => void)[] = [];

  addEventListener(_type: 'abort', listener: () => void): void {
    if (!this.aborted && !this.#listeners.includes(listener)) this.#listeners.push(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    const at = this.#listeners.indexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }

  /** The first reason stands. */
  abort(reason: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }
}
