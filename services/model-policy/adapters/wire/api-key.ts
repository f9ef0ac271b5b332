/**
 * A backend's key, read from where configuration says it is. A file is followed, so that a rotated key is used without a
 * restart.
 */
import { readFileSync } from 'node:fs';
import { followFile } from '../../../platform/config/followed-file.ts';
import type { LiveSecret } from '../../../platform/secrets/live-secret.ts';

export type KeyOrigin =
  | { readonly kind: 'none' }
  | { readonly kind: 'value'; readonly value: string }
  /** A variable of the process's environment. */
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'file'; readonly path: string }
  /** Of the process's configuration, which follows its source itself. */
  | { readonly kind: 'live'; readonly secret: LiveSecret };

export class ApiKey {
  private readonly origin: KeyOrigin;
  private key: string | null = null;
  private unfollow: (() => void) | null = null;

  /** @throws Error when the file or the variable is not there; neither message holds the key. */
  constructor(origin: KeyOrigin) {
    this.origin = origin;
    if (origin.kind === 'value') this.key = checked(origin.value);
    if (origin.kind === 'live') this.follow(origin.secret);
    if (origin.kind === 'variable') {
      const value = process.env[origin.name];
      if (value === undefined || value.trim() === '') throw new Error(`the variable ${origin.name}, which is to hold the key, is not set`);
      this.key = checked(value);
    }
    if (origin.kind === 'file') {
      const text = readFileSync(origin.path, 'utf8');
      this.key = checked(text);
      const followed = followFile(origin.path, text, (changed) => this.replace(changed));
      this.unfollow = () => followed.close();
    }
  }

  /** null: the backend wants none. A file that is gone for a moment, as while it is replaced, leaves the key as it was. */
  current(): string | null {
    return this.key;
  }

  /** The backend refused the key: its source is looked at ahead of time, and the next attempt has what is there. */
  refused(): void {
    if (this.origin.kind === 'live') this.origin.secret.refused();
    if (this.origin.kind !== 'file') return;
    try {
      this.replace(readFileSync(this.origin.path, 'utf8'));
    } catch {
      // It is being replaced: the next look finds it.
    }
  }

  private follow(secret: LiveSecret): void {
    this.key = checked(secret.current());
    this.unfollow = secret.watch((value) => this.replace(value));
  }

  /** A new value that no key can have leaves the key as it was. */
  private replace(text: string): void {
    try {
      this.key = checked(text);
    } catch {
      // The backend's refusals will tell of a key that is no longer right.
    }
  }

  /** For the end of the backend that it belongs to. */
  close(): void {
    this.unfollow?.();
  }

  toJSON(): string {
    return '[key]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return 'ApiKey { [key] }';
  }
}

/** A line break in a header would be refused by the client with a message that repeats it. */
function checked(text: string): string {
  const key = text.trim();
  if (key === '') throw new Error('the key is empty');
  if (!/^[\x21-\x7e]+$/.test(key)) throw new Error('the key holds characters that no key has, such as spaces or line breaks');
  return key;
}
