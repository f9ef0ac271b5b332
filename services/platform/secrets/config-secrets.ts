/** The secrets of a configuration, as they are now. `openConfig` makes those that follow their sources. */
import type { Logger } from 'pino';
import type { VariableName } from '../config/variables.ts';
import { SecretHolder, type LiveSecret } from './live-secret.ts';

/** One time that a secret was read from where it is kept, whatever came of it. */
export interface SecretRead {
  /** The variable that it is for. */
  readonly name: VariableName;
  /** `environment`, `files`, `vault`, `aws-sm`. */
  readonly adapter: string;
  /** null where nothing was read. */
  readonly version: string | null;
  readonly outcome: 'allowed' | 'failed';
  /** Whether the value is another than before. */
  readonly changed: boolean;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

export interface SecretObservers {
  /** Told of each read, those of the start included. Must not throw. */
  readonly audit?: (read: SecretRead) => void;
  /** Told of values that changed and of sources that fail, by the names of their variables. */
  readonly log?: Logger;
}

export interface ConfigSecrets {
  /** undefined where the variable is not set, or no secret. */
  live(name: VariableName): LiveSecret | undefined;
  attach(observers: SecretObservers): void;
  /** Reads every source again now; what cannot be read stays as it is. */
  refresh(): Promise<void>;
  close(): Promise<void>;
}

/** Of a configuration that was loaded and is not followed. */
export function fixedSecrets(values: Readonly<Record<string, unknown>>): ConfigSecrets {
  const holders = new Map<string, SecretHolder>();
  for (const [name, value] of Object.entries(values)) if (typeof value === 'string') holders.set(name, new SecretHolder(value));
  return { live: (name) => holders.get(name), attach: () => undefined, refresh: async () => undefined, close: async () => undefined };
}
