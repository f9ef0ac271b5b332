/** The few checks that `up` ends with: quick, and enough to know that a run goes through every part of the node. */
import type { Settings } from '../settings.ts';
import type { Check } from './checks.ts';
import { nodeChecks } from './node-checks.ts';

const SMOKE = new Set(['models are listed', 'a fresh run completes', 'its events have no gap and no repeat', 'it called a tool and a model', 'metrics are served']);

/** On a busy machine a service that was ready a moment ago may miss one of its own looks at the others. */
const PATIENCE_MS = 10_000;

/** In prod no run: it needs a tenant, and prod seeds none. */
export async function smokeChecks(settings: Settings, signal: AbortSignal): Promise<readonly Check[]> {
  return (await nodeChecks(settings, signal, PATIENCE_MS)).filter((check) => (SMOKE.has(check.name) && settings.mode !== 'prod') || check.name.endsWith('healthy and ready') || check.betweenNodes === true);
}
