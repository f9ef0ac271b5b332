/** The clocks of one call through the AWS SDK, and its caller: whichever comes first ends it. */
import type { DepartureSignal } from '../../../platform/departure.ts';
import type { WaitedFor } from '../wire/failures.ts';

export class CallWatch {
  why: 'caller_gone' | 'left' | WaitedFor | null = null;
  private readonly controller = new AbortController();
  private readonly caller: DepartureSignal;
  private readonly total: NodeJS.Timeout;
  private stall: NodeJS.Timeout | null = null;
  private readonly onAbort = (): void => this.stop('caller_gone');

  constructor(caller: DepartureSignal, totalMs: number, firstByteMs: number | null) {
    this.caller = caller;
    this.total = setTimeout(() => this.stop('answer'), totalMs);
    if (firstByteMs !== null && firstByteMs < totalMs) this.stall = setTimeout(() => this.stop('first_byte'), firstByteMs);
    caller.addEventListener('abort', this.onAbort, { once: true });
    if (caller.aborted) this.onAbort();
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** While the backend is waited for. A reader that takes its time is no silence of the backend. */
  expectWithin(ms: number): void {
    this.stall ??= setTimeout(() => this.stop('next_byte'), ms);
  }

  arrived(): void {
    if (this.stall !== null) clearTimeout(this.stall);
    this.stall = null;
  }

  /** Ends the clocks, and the call unless it is complete: then its connection is somebody else's already. */
  end(isComplete: boolean): void {
    if (isComplete) this.why ??= 'left';
    else this.stop('left');
    this.arrived();
    clearTimeout(this.total);
    this.caller.removeEventListener('abort', this.onAbort);
  }

  private stop(why: NonNullable<CallWatch['why']>): void {
    if (this.why !== null) return;
    this.why = why;
    this.controller.abort();
  }
}
