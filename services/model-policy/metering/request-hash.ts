/** What makes two requests the same: their members and values, in whatever order they were written. SHA-256, base64url. */
import { createHash } from 'node:crypto';

export function requestHash(request: unknown): string {
  return createHash('sha256').update(JSON.stringify(request, inOrder)).digest('base64url');
}

function inOrder(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const members = value as Record<string, unknown>;
  return Object.fromEntries(Object.keys(members).sort().map((key) => [key, members[key]]));
}
