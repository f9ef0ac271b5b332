/** Canonical JSON (members in code-unit order, no spaces: RFC 8785 for what JSON.parse can produce) and its SHA-256. */
import { hash } from 'node:crypto';

export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}

/** Hexadecimal. */
export const canonicalHash = (value: unknown): string => hash('sha256', canonicalJson(value), 'hex');
