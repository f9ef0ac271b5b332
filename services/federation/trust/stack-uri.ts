/** How a certificate says which node it belongs to: one subject alternative name, `URI:urn:agentos:stack:<stack_id>`. */
import type { X509Certificate } from 'node:crypto';

const PREFIX = 'urn:agentos:stack:';
/** What can stand in a URI, a log line and a key without being written differently in each. */
const STACK_ID = /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/;

export function stackUri(stackId: string): string {
  return `${PREFIX}${stackId}`;
}

export function isStackId(value: unknown): value is string {
  return typeof value === 'string' && STACK_ID.test(value);
}

/** null where it names none, or more than one: a certificate that could be either node is neither's. */
export function stackIdOf(certificate: Pick<X509Certificate, 'subjectAltName'>): string | null {
  return stackIdIn(certificate.subjectAltName);
}

/** @param names as node:tls and node:crypto write them: `DNS:a, URI:urn:…` */
export function stackIdIn(names: string | undefined): string | null {
  // Names with characters of the list itself are quoted. No certificate of ours has any, so nothing is made of them.
  if (names === undefined || names.includes('"')) return null;
  const stacks = names.split(', ').filter((name) => name.startsWith(`URI:${PREFIX}`));
  const [stackId] = stacks.map((name) => name.slice(`URI:${PREFIX}`.length));
  return stacks.length === 1 && isStackId(stackId) ? stackId : null;
}
