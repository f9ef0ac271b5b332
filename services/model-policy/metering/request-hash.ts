/** What makes two requests the same: their members and values, in whatever order they were written. SHA-256, base64url. */
import { hash } from 'node:crypto';

export function requestHash(request: unknown): string {
  return hash('sha256', JSON.stringify(inOrder(request)), 'base64url');
}

/** A copy in order, since JSON.stringify takes many times longer with a function that it asks about each member. */
function inOrder(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(inOrder);
  const members = value as Record<string, unknown>;
  return Object.fromEntries(Object.keys(members).sort().map((key) => [key, inOrder(members[key])]));
}
