/**
 * One HTTP exchange with a model server, as undici hands it over, without the streams and signals between that cost
 * more than the rest of the call: bytes wait in a short queue, the connection is paused while nobody takes them, and
 * three clocks watch (whole exchange, first byte of the body, silence between bytes).
 *
 * Whatever ends the exchange early closes its connection, so that the server stops generating.
 */
import type { DepartureSignal } from '../../../platform/departure.ts';
import type { Dispatcher } from 'undici';
import type { AnswerHeaders, WaitedFor } from './failures.ts';

export interface ExchangeLimits {
  readonly totalMs: number;
  /** From the call to the first byte of the body; null: only the whole is watched. */
  readonly firstByteMs: number | null;
  readonly nextByteMs: number | null;
}

/** Why we ended an exchange ourselves. */
export class Stopped extends Error {
  readonly why: 'caller_gone' | 'left' | 'too_large' | WaitedFor;

  constructor(why: Stopped['why']) {
    super(`The exchange was ended: ${why}.`);
    this.name = 'Stopped';
    this.why = why;
  }
}

/** No answer of a model is longer. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const PAUSE_AT_BYTES = 256 * 1024;
/** How long a server may take to close an answer whose end it has sent, before its connection is given up. */
const LET_GO_MS = 250;

export class Exchange implements Dispatcher.DispatchHandler {
  status = 0;
  headers: AnswerHeaders = {};
  private readonly limits: ExchangeLimits;
  private readonly signal: DepartureSignal;
  private readonly totalTimer: NodeJS.Timeout;
  private stallTimer: NodeJS.Timeout | null = null;
  private controller: Dispatcher.DispatchController | null = null;
  private queue: Buffer[] = [];
  private queuedBytes = 0;
  private receivedBytes = 0;
  private paused = false;
  private silenceWatched = false;
  private ended = false;
  private letGoing = false;
  private failure: unknown = null;
  private wake: (() => void) | null = null;
  /** Called at the end, however it comes. */
  private whole: (() => void) | null = null;
  private readonly onAbort = (): void => this.stop(new Stopped('caller_gone'));

  constructor(limits: ExchangeLimits, signal: DepartureSignal) {
    this.limits = limits;
    this.signal = signal;
    this.totalTimer = setTimeout(() => this.stop(new Stopped('answer')), limits.totalMs);
    if (limits.firstByteMs !== null && limits.firstByteMs < limits.totalMs) this.stallTimer = setTimeout(() => this.stop(new Stopped('first_byte')), limits.firstByteMs);
    signal.addEventListener('abort', this.onAbort, { once: true });
    if (signal.aborted) this.onAbort();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.failure !== null) controller.abort(this.failure as Error);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: AnswerHeaders): void {
    if (status < 200) return;
    this.status = status;
    this.headers = headers;
    this.notify();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.letGoing || this.failure !== null) return;
    this.receivedBytes += chunk.length;
    if (this.receivedBytes > MAX_ANSWER_BYTES) return this.stop(new Stopped('too_large'));
    this.watchSilence();
    this.queue.push(chunk);
    this.queuedBytes += chunk.length;
    if (this.queuedBytes > PAUSE_AT_BYTES && !this.paused && this.limits.nextByteMs !== null) {
      this.paused = true;
      controller.pause();
      // A reader that takes its time is no silence of the server.
      this.stopWatchingSilence();
    }
    this.notify();
  }

  onResponseEnd(): void {
    this.ended = true;
    this.settle();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.failure ??= error;
    this.settle();
  }

  /** Resolves when status and headers are there. */
  async head(): Promise<void> {
    while (this.status === 0) {
      if (this.failure !== null) throw this.failure;
      await this.news();
    }
  }

  /** The whole body; status and headers are there by then. */
  text(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.whole = () => {
        if (this.ended) resolve((this.queue.length === 1 ? this.queue[0]! : Buffer.concat(this.queue)).toString('utf8'));
        else reject(this.failure as Error);
      };
      if (this.ended || this.failure !== null) this.whole();
    });
  }

  /** What has arrived since the last call; null at the end. Bytes that came before a fault are handed out before it. */
  async next(): Promise<Buffer | null> {
    for (;;) {
      if (this.failure instanceof Stopped && this.failure.why !== 'next_byte') throw this.failure;
      if (this.queue.length > 0) return this.take();
      if (this.failure !== null) throw this.failure;
      if (this.ended) return null;
      await this.news();
    }
  }

  /** The answer is complete for the caller. The connection is kept if the server ends it soon. */
  letGo(): void {
    if (this.ended || this.failure !== null || this.letGoing) return;
    this.letGoing = true;
    this.queue = [];
    if (this.paused) this.controller?.resume();
    this.stopWatchingSilence();
    this.stallTimer = setTimeout(() => this.stop(new Stopped('left')), LET_GO_MS).unref();
  }

  /** Nobody wants the rest: the connection is closed. */
  leave(): void {
    if (!this.letGoing) this.stop(new Stopped('left'));
  }

  private stop(why: Stopped): void {
    if (this.ended || this.failure !== null) return;
    this.failure = why;
    this.controller?.abort(why);
    this.settle();
  }

  private take(): Buffer {
    const chunk = this.queue.length === 1 ? this.queue[0]! : Buffer.concat(this.queue);
    this.queue = [];
    this.queuedBytes = 0;
    if (this.paused) {
      this.paused = false;
      this.controller?.resume();
      this.watchSilence();
    }
    return chunk;
  }

  private watchSilence(): void {
    const ms = this.limits.nextByteMs;
    if (ms === null) return;
    if (this.silenceWatched) {
      this.stallTimer?.refresh();
      return;
    }
    this.stopWatchingSilence();
    this.silenceWatched = true;
    this.stallTimer = setTimeout(() => this.stop(new Stopped('next_byte')), ms);
  }

  private stopWatchingSilence(): void {
    this.silenceWatched = false;
    if (this.stallTimer !== null) clearTimeout(this.stallTimer);
    this.stallTimer = null;
  }

  private settle(): void {
    clearTimeout(this.totalTimer);
    this.stopWatchingSilence();
    this.signal.removeEventListener('abort', this.onAbort);
    this.whole?.();
    this.notify();
  }

  private notify(): void {
    const wake = this.wake;
    this.wake = null;
    wake?.();
  }

  private news(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }
}
