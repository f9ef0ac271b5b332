/** Whether two nodes understand each other, and whether one can do what is asked (PRS 3.2, 7.4; C-30). Pure. */
import type { Peer, PeerCapabilities } from '../../../generated/types/index.ts';

/** The newest API version that both speak; null: none. Versions that one of them does not know are no obstacle. */
export function commonVersion(ours: Pick<Peer, 'api_versions'>, theirs: Pick<Peer, 'api_versions'>): string | null {
  const common = ours.api_versions.filter((version) => theirs.api_versions.includes(version));
  return common.sort((a, b) => Number(b.slice(1)) - Number(a.slice(1)))[0] ?? null;
}

const normal = (name: string): string => name.replaceAll('.', '_');

/** Of the required abilities those that the node does not have, as they were asked for. Dots and underscores compare as equals. */
export function missingCapabilities(required: readonly string[], { supports, features }: PeerCapabilities): readonly string[] {
  const present = new Set((features ?? []).map(normal));
  for (const [name, supported] of Object.entries(supports)) {
    if (supported === true) present.add(normal(name));
    // What a node denies it does not have, whatever its older list says.
    if (supported === false) present.delete(normal(name));
  }
  return required.filter((name) => !present.has(normal(name)));
}
