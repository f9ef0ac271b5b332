import { describe, expect, it } from 'vitest';
import { Departure, type DepartureSignal } from './departure.ts';

describe('Departure', () => {
  it.each(['Departure', 'AbortController'])('tells each listener once, and none that was taken off or came too late, as a signal does: %s', (kind) => {
    const controller = kind === 'Departure' ? null : new AbortController();
    const departure = new Departure();
    const signal: DepartureSignal = controller?.signal ?? departure;
    const heard: string[] = [];
    const first = (): void => void heard.push('first');
    const off = (): void => void heard.push('off');
    signal.addEventListener('abort', first, { once: true });
    signal.addEventListener('abort', first, { once: true });
    signal.addEventListener('abort', off);
    signal.removeEventListener('abort', off);
    expect(signal.aborted).toBe(false);
    const reason = new Error('gone');
    for (const each of [reason, new Error('again')]) (controller ?? departure).abort(each);
    signal.addEventListener('abort', () => void heard.push('late'));
    expect([signal.aborted, signal.reason, heard]).toEqual([true, reason, ['first']]);
  });
});
