/** Asks a service how it is: alive (health) and able to work (readiness). */
import { requestText } from '../http.ts';
import type { ServiceEntry } from './catalog.ts';

export interface Probe {
  readonly healthy: boolean;
  readonly ready: boolean;
  readonly latencyMs: number | null;
  readonly version: string | null;
  /** For people: `ready`, or what is wrong. */
  readonly detail: string;
  /** What it says it lacks, by name; empty where it says nothing. */
  readonly lacks: readonly string[];
}

/** Where a service listens. */
export interface Listener {
  readonly host: string;
  readonly port: number;
  readonly tls?: boolean | undefined;
}

interface HealthBody {
  readonly status?: string;
  readonly service?: string;
  readonly version?: string;
  readonly checks?: unknown;
}

/** Never throws. A process that answers there but is another service counts as not healthy. */
export async function probeService(service: ServiceEntry, { host, port, tls }: Listener, timeoutMs = 3_000): Promise<Probe> {
  const base = `${tls === true ? 'https' : 'http'}://${host}:${port}`;
  const started = performance.now();
  const [health, readiness] = await Promise.all([ask(`${base}${service.healthPath}`, timeoutMs), ask(`${base}/readyz`, timeoutMs)]);
  const latencyMs = Math.round(performance.now() - started);
  if (health.status === null) return { healthy: false, ready: false, latencyMs: null, version: null, detail: health.error, lacks: [] };
  const version = health.body.version ?? null;
  if (health.body.service !== service.name) {
    return { healthy: false, ready: false, latencyMs, version: null, detail: `another program answers on port ${port}`, lacks: [] };
  }
  const healthy = health.status === 200;
  const ready = healthy && readiness.status === 200;
  return { healthy, ready, latencyMs, version, detail: ready ? 'ready' : describe(health.status, readiness), lacks: failingChecks(readiness.body.checks).map(([name]) => name) };
}

interface Answer {
  readonly status: number | null;
  readonly body: HealthBody;
  readonly error: string;
}

async function ask(url: string, timeoutMs: number): Promise<Answer> {
  try {
    const { status, text } = await requestText(url, { timeoutMs });
    return { status, body: parse(text), error: '' };
  } catch (error) {
    return { status: null, body: {}, error: reason(error) };
  }
}

function parse(text: string): HealthBody {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

function describe(healthStatus: number, readiness: Answer): string {
  if (healthStatus !== 200) return `health answers ${healthStatus}`;
  if (readiness.status === null) return `readiness: ${readiness.error}`;
  const failing = failingChecks(readiness.body.checks).map(([name, detail]) => (detail === null ? name : `${name} (${detail})`)).join(', ');
  return failing === '' ? `readiness answers ${readiness.status}` : `not ready: ${failing}`;
}

/** The checks that are not ok with what they say, whether they come as an object by name or as a list. */
function failingChecks(checks: unknown): ReadonlyArray<readonly [name: string, detail: string | null]> {
  if (typeof checks !== 'object' || checks === null) return [];
  const rows: ReadonlyArray<readonly [string, unknown]> = Array.isArray(checks)
    ? checks.map((row: { name?: string }, index) => [row.name ?? String(index), row])
    : Object.entries(checks);
  return rows
    .filter(([, value]) => (typeof value === 'object' && value !== null ? (value as { status?: string }).status : value) !== 'ok')
    .map(([name, value]) => {
      const detail = typeof value === 'object' && value !== null ? (value as { detail?: string; message?: string }).detail ?? (value as { message?: string }).message : null;
      return [name, detail ?? null] as const;
    });
}

function reason(error: unknown): string {
  const { code, name, message } = error as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED') return 'nothing listens there';
  if (name === 'TimeoutError') return 'no answer in time';
  return code ?? message;
}
