/** A node that tells a run's events as badly as a test asks it to, and at last, when the script is over, as it should. */
import type { EventEnvelope } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { WireEvent } from './event-digest.ts';
import type { NodeOfRun } from './node-connection.ts';
import { sleepUntil } from './waiting.ts';

export type Deed =
  /** Tells the next events. */
  | { readonly tell: number }
  /** Tells one again, counted back from where it stands. */
  | { readonly again: number }
  /** Leaves some out. */
  | { readonly skip: number }
  | { readonly foreign: 'tenant' | 'run' }
  /** Says nothing for a while. */
  | { readonly pauseMs: number };

export interface ConnectionScript {
  /** It cannot be opened. */
  readonly refused?: boolean;
  readonly deeds: readonly Deed[];
  /** `closed`: as if all had been said · `cut`: broken on the way. */
  readonly end: 'closed' | 'cut';
  /** How many events there are when it is opened; all, where it is not said. */
  readonly visible?: number;
}

export const RUN = 'run_scripted';
export const TENANT = 'tnt_scripted';

export function eventAt(sequence: number, length: number, facts: Partial<WireEvent> = {}): WireEvent {
  const last = sequence === length;
  return {
    event_id: `evt_${sequence}`, sequence, time: new Date(Date.UTC(2026, 0, 1) + sequence).toISOString(),
    type: last ? 'agentos.run.completed' : 'agentos.run.step.started', tenant_id: TENANT, agent_id: 'agt_demo', run_id: RUN, step_id: null,
    trace: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', span_id: '00f067aa0ba902b7' },
    payload: last ? { status: 'completed', output: { type: 'text', text: 'Done.' } } : { name: 'plan', message: `Step ${sequence}`, 1: 'first', ä: '\u2028' },
    ...facts,
  } as WireEvent;
}

export const logOf = (length: number): WireEvent[] => Array.from({ length }, (_, index) => eventAt(index + 1, length));

export class ScriptedNode implements NodeOfRun {
  readonly #log: readonly WireEvent[];
  readonly #scripts: readonly ConnectionScript[];
  /** Where each connection was opened. */
  readonly opened: number[] = [];
  /** Events that were asked for so far. */
  pulled = 0;
  /** Connections that nobody has closed. */
  openConnections = 0;
  #visible = 0;

  constructor(log: readonly WireEvent[], scripts: readonly ConnectionScript[] = []) {
    this.#log = log;
    this.#scripts = scripts;
  }

  async open(after: number, signal: AbortSignal): Promise<AsyncIterable<EventEnvelope>> {
    const script = this.#scripts[this.opened.length];
    this.opened.push(after);
    this.#visible = Math.max(this.#visible, script?.visible ?? this.#log.length);
    if (script?.refused === true) throw away('refused');
    return this.#events(after, script, signal);
  }

  async hasEnded(): Promise<boolean> {
    return this.#visible === this.#log.length;
  }

  async *#events(after: number, script: ConnectionScript | undefined, signal: AbortSignal): AsyncGenerator<EventEnvelope, void> {
    this.openConnections += 1;
    let at = after;
    const visible = this.#visible;
    const tell = (sequence: number): EventEnvelope[] => {
      this.pulled += 1;
      const event = sequence <= visible ? this.#log[sequence - 1] : undefined;
      return event === undefined ? [] : [{ event: structuredClone(event) }];
    };
    try {
      for (const deed of script?.deeds ?? [{ tell: this.#log.length }]) {
        if (signal.aborted) return;
        if ('tell' in deed) for (const end = Math.min(visible, at + deed.tell); at < end;) yield* tell((at += 1));
        else if ('again' in deed) yield* tell(Math.max(1, Math.min(at, visible) - deed.again));
        else if ('skip' in deed) yield* tell((at += 1 + deed.skip));
        else if ('foreign' in deed) yield { event: eventAt(at + 1, 0, deed.foreign === 'tenant' ? { tenant_id: 'tnt_other' } : { run_id: 'run_other' }) };
        else await sleepUntil(deed.pauseMs, signal);
      }
      // What comes after the end of a run is nobody's business.
      if (script === undefined && after < this.#log.length) yield { event: eventAt(this.#log.length + 1, 0) };
      if (script?.end === 'cut') throw away('cut');
    } finally {
      this.openConnections -= 1;
    }
  }
}

export const away = (how: string): AgentOsError => new AgentOsError('dependency_unavailable', { message: `The node is away (${how}).` });
