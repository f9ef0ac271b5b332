/** A run's events as lines for a person, with the time since the run was created. */
import type { Event } from '../../generated/types/index.ts';
import { formatMs } from './duration.ts';

type Payload = Readonly<Record<string, unknown>>;

/** `   0.042 s  tool.call.completed     tool.text.stats ok, 3 ms`. */
export function timelineLine(event: Event, startedAt: number): string {
  const seconds = Math.max(0, Date.parse(event.time) - startedAt) / 1_000;
  const kind = event.type.replace(/^agentos\./, '');
  return `${seconds.toFixed(3).padStart(8)} s  ${kind.padEnd(22)} ${describe(kind, (event.payload ?? {}) as Payload)}`.trimEnd();
}

function describe(kind: string, payload: Payload): string {
  switch (kind) {
    case 'run.step.started':
    case 'run.step.completed':
      return words(payload['step_kind'], payload['name']);
    case 'tool.call.requested':
      return words(payload['tool_id'], shorten(payload['input']));
    case 'tool.call.completed':
      return words(payload['tool_id'], payload['status'], duration(payload['duration_ms']), shorten(payload['output']));
    case 'model.requested':
      return words(payload['operation'], payload['model_ref']);
    case 'model.completed':
      return modelCompleted(payload);
    case 'run.failed':
      return words(member(payload['error'], 'code'), member(payload['error'], 'message'));
    default:
      return '';
  }
}

function modelCompleted(payload: Payload): string {
  const tokens = member(payload['usage'], 'total_tokens');
  const route = words(member(payload['route'], 'backend'), member(payload['route'], 'model'));
  return words(route, tokens === undefined ? '' : `${String(tokens)} tokens`, duration(payload['latency_ms']));
}

function words(...parts: readonly unknown[]): string {
  return parts.filter((part) => part !== undefined && part !== null && part !== '').map(String).join(' · ');
}

function duration(value: unknown): string {
  return typeof value === 'number' ? formatMs(value) : '';
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Payload)[name] : undefined;
}

function shorten(value: unknown): string {
  if (value === undefined || value === null) return '';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 70 ? `${text.slice(0, 67)}...` : text;
}
