/**
 * One exchange with Model Policy, as undici hands it over. `Pool.request` makes a stream of every answer and wants an
 * AbortSignal, which together cost more than the rest of a call; wanted here are a status, headers and one text.
 */
import type { Dispatcher } from 'undici';
import type { DepartureSignal } from '../../platform/departure.ts';

export interface ExchangeAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** Closes its connection when the signal aborts. @throws what the connection throws, or the signal's reason. */
export function exchange(dispatcher: Dispatcher, request: Dispatcher.DispatchOptions, signal: DepartureSignal): Promise<ExchangeAnswer> {
  return new Promise((resolve, reject) => {
    dispatcher.dispatch(request, new WholeAnswer(signal, resolve, reject));
  });
}

class WholeAnswer implements Dispatcher.DispatchHandler {
  readonly #signal: DepartureSignal;
  readonly #resolve: (answer: ExchangeAnswer) => void;
  readonly #reject: (error: unknown) => void;
  readonly #chunks: Buffer[] = [];
  #status = 0;
  #headers: ExchangeAnswer['headers'] = {};
  #controller: Dispatcher.DispatchController | null = null;

  constructor(signal: DepartureSignal, resolve: (answer: ExchangeAnswer) => void, reject: (error: unknown) => void) {
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    signal.addEventListener('abort', this.#onAbort, { once: true });
    if (signal.aborted) this.#onAbort();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#signal.aborted) this.#onAbort();
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: ExchangeAnswer['headers']): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    const bytes = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    this.#resolve({ status: this.#status, headers: this.#headers, text: bytes.toString('utf8') });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#reject(error);
  }

  /** Who waits is told at once: a request that still stands in line for a connection is ended when it gets one. */
  readonly #onAbort = (): void => {
    const { reason } = this.#signal;
    this.#reject(reason);
    this.#controller?.abort(reason instanceof Error ? reason : new Error('The exchange was abandoned.'));
  };
}
