/**
 * The card that one operator gives to another: who the node is, where its peers' listener is, and the certificate of its
 * authority. Nothing in it is secret; that it is the right one is judged by the fingerprint, read out over another way.
 */
import { isStackId } from '../../../services/federation/trust/stack-uri.ts';
import { CliError, EXIT } from '../errors.ts';
import { certificateFacts, certificatesIn } from './certificate-facts.ts';
import type { PeerIdentity } from './peers-document.ts';

export const CARD_KIND = 'agentos-peer-card';

export interface PeerCard {
  readonly kind: typeof CARD_KIND;
  readonly peer: PeerIdentity;
  /** PEM. */
  readonly authority: string;
}

/** @throws CliError usage for a name that cannot stand in a certificate and in a URL alike. */
export function checkStackId(stackId: string): string {
  if (isStackId(stackId)) return stackId;
  throw new CliError(`"${stackId}" cannot be a stack id`, { exitCode: EXIT.usage, evidence: ['1 to 128 letters, digits and . _ : @ -, beginning with a letter or digit; no other node may have it'], next: 'agentos federation init --stack-id stk_acme_eu1' });
}

/** @throws CliError usage that says what is wrong with the card. */
export function parseCard(text: string, source: string): PeerCard {
  const refuse = (reason: string, cause?: unknown): CliError => new CliError(`${source} is no peer card`, { exitCode: EXIT.usage, evidence: [reason], next: 'ask the other operator for the output of: agentos federation card', cause });
  let card: Partial<PeerCard>;
  try {
    card = JSON.parse(text) as Partial<PeerCard>;
  } catch (cause) {
    throw refuse(`it is not JSON: ${(cause as Error).message}`, cause);
  }
  if (card.kind !== CARD_KIND) throw refuse(`its kind is not ${CARD_KIND}`);
  const { peer, authority } = card;
  if (!isStackId(peer?.stack_id)) throw refuse('peer.stack_id is missing, or cannot be a stack id');
  const url = peer.endpoints?.federation_base_url;
  if (typeof url !== 'string' || !URL.canParse(url) || new URL(url).protocol !== 'https:') throw refuse('peer.endpoints.federation_base_url is no https address');
  if (typeof authority !== 'string' || certificatesIn(authority).length !== 1) throw refuse('authority is not one certificate (PEM)');
  if (!certificateFacts(authority).isAuthority) throw refuse('the certificate in authority may not issue others');
  return { kind: CARD_KIND, peer, authority: certificatesIn(authority)[0]! };
}
