/** The checks of every node that is up, and of what goes from one to the other. */
import { nodesOf, prefixOf } from '../nodes.ts';
import type { Settings } from '../settings.ts';
import type { Check } from './checks.ts';
import { validationChecks } from './run-checks.ts';

export async function nodeChecks(settings: Settings, signal: AbortSignal, patienceMs = 0): Promise<readonly Check[]> {
  const [first, second] = nodesOf(settings) as [Settings, Settings?];
  if (second === undefined) return validationChecks(first, signal, patienceMs);
  const { federationChecks } = await import('./federation-checks.ts');
  const ofSecond = validationChecks(second, signal, patienceMs).map((check) => ({ ...check, name: `${prefixOf(second)}${check.name}` }));
  return [...validationChecks(first, signal, patienceMs), ...ofSecond, ...federationChecks(first, second, signal)];
}
