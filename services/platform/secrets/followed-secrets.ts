/**
 * The secrets of a running process. Files are looked at when their folders change, and every second; references are read again at an interval, and at
 * once (not more often than every few seconds) when somebody was refused with their value. What cannot be read, or is
 * no possible value of its variable, leaves everything as it was and is told of once.
 */
import type { Logger } from 'pino';
import { lookOften, type FollowedFile } from '../config/followed-file.ts';
import { checkSecret, ConfigError, type Config } from '../config/load.ts';
import { VARIABLES, type ConfigValues, type Variable, type VariableName } from '../config/variables.ts';
import type { ConfigSecrets, SecretObservers, SecretRead } from './config-secrets.ts';
import { describeSource, failedAtStart } from './secret-failures.ts';
import { SecretHolder, type LiveSecret } from './live-secret.ts';
import type { SecretsPort } from './secrets.ts';
import { FileSecrets } from './secrets-files.ts';

export interface SecretSource {
  readonly variable: VariableName;
  readonly adapter: 'files' | 'vault' | 'aws-sm';
  /** As the adapter takes it. */
  readonly name: string;
  /** As the configuration wrote it. */
  readonly shown: string;
}

interface Followed extends SecretSource {
  version: string | null;
  /** What was said of it last, so that it is not said again. */
  trouble: string | null;
  lookedAtMs: number;
  looking: Promise<void> | null;
}

const REFUSED_PAUSE_MS = 2_000;
/** Reads before anybody listens; a start has as many as there are secrets. */
const MAX_KEPT = 200;

export class FollowedSecrets implements ConfigSecrets {
  readonly #followed: readonly Followed[];
  readonly #adapters: ReadonlyMap<string, SecretsPort>;
  readonly #holders = new Map<VariableName, SecretHolder>();
  readonly #refreshMs: number;
  readonly #overlapMs: number;
  readonly #lookMs: number;
  readonly #files: FollowedFile[] = [];
  #timer: NodeJS.Timeout | null = null;
  #log: Logger | null = null;
  #audit: ((read: SecretRead) => void) | null = null;
  #kept: SecretRead[] = [];

  constructor(sources: readonly SecretSource[], adapters: ReadonlyMap<string, SecretsPort>, config: Config, options: { readonly lookMs: number }) {
    this.#followed = sources.map((source) => ({ ...source, version: null, trouble: null, lookedAtMs: 0, looking: null }));
    this.#adapters = adapters;
    this.#refreshMs = config.values.AGENTOS_SECRETS_REFRESH_SECONDS * 1_000;
    this.#overlapMs = config.values.AGENTOS_SECRETS_OVERLAP_SECONDS * 1_000;
    this.#lookMs = options.lookMs;
  }

  /** What the references stand for, by variable. @throws ConfigError that names all which cannot be read. */
  async resolve(): Promise<Partial<Record<VariableName, string>>> {
    const found: Partial<Record<VariableName, string>> = {};
    const failures: { readonly source: SecretSource; readonly error: unknown }[] = [];
    await Promise.all(this.#followed.map(async (each) => {
      try {
        const value = await this.#read(each);
        if (each.adapter !== 'files') found[each.variable] = value;
      } catch (error) {
        failures.push({ source: each, error });
      }
    }));
    if (failures.length > 0) throw failedAtStart(failures);
    return found;
  }

  /** From here on `live` answers, and the sources are followed if that is wanted. */
  begin(values: ConfigValues, follow: boolean): void {
    for (const { name, secret } of VARIABLES as readonly Variable[]) {
      const value: unknown = values[name as VariableName];
      if (secret !== true || typeof value !== 'string') continue;
      const followed = this.#followed.find((each) => each.variable === name);
      this.#holders.set(name as VariableName, new SecretHolder(value, { overlapMs: this.#overlapMs, ...(followed === undefined ? {} : { onRefused: () => this.#lookSoon(followed) }) }));
      if (followed === undefined) this.#tell({ name: name as VariableName, adapter: 'environment', version: null, outcome: 'allowed', changed: false, atMs: Date.now() });
    }
    if (!follow) return;
    for (const each of this.#followed) if (each.adapter === 'files') this.#files.push(lookOften(each.name, () => void this.#look(each), { lookMs: this.#lookMs }));
    const references = this.#followed.filter((each) => each.adapter !== 'files');
    if (references.length > 0) this.#timer = setInterval(() => references.forEach((each) => void this.#look(each)), this.#refreshMs).unref();
  }

  live(name: VariableName): LiveSecret | undefined {
    return this.#holders.get(name);
  }

  attach({ audit, log }: SecretObservers): void {
    if (log !== undefined) this.#log = log;
    if (audit === undefined) return;
    this.#audit = audit;
    for (const read of this.#kept.splice(0)) audit(read);
  }

  async refresh(): Promise<void> {
    await Promise.all(this.#followed.map((each) => this.#look(each)));
  }

  async close(): Promise<void> {
    for (const file of this.#files) file.close();
    if (this.#timer !== null) clearInterval(this.#timer);
    await Promise.all([...this.#adapters.values()].map((adapter) => adapter.close()));
  }

  #lookSoon(each: Followed): void {
    if (performance.now() - each.lookedAtMs > REFUSED_PAUSE_MS) void this.#look(each);
  }

  /** One look at a time at each source. */
  #look(each: Followed): Promise<void> {
    return (each.looking ??= this.#lookOnce(each).finally(() => (each.looking = null)));
  }

  async #lookOnce(each: Followed): Promise<void> {
    try {
      if (!(await this.#mayHaveChanged(each))) return this.#well(each);
      const value = checkSecret(each.variable, await this.#read(each));
      if (this.#holders.get(each.variable)?.replace(value) === true) this.#log?.info({ variable: each.variable, adapter: each.adapter, version: each.version }, `${each.variable} has a new value, which is used from now on.`);
      this.#well(each);
    } catch (error) {
      const trouble = error instanceof ConfigError ? `its new value cannot be used: ${error.message}` : (error as Error).message;
      if (each.trouble !== trouble) this.#log?.warn({ variable: each.variable, adapter: each.adapter }, `${describeSource(each)} could not be read again: ${trouble} The value from before stays in use.`);
      each.trouble = trouble;
    }
  }

  #well(each: Followed): void {
    if (each.trouble !== null) this.#log?.info({ variable: each.variable, adapter: each.adapter }, `${describeSource(each)} can be read again.`);
    each.trouble = null;
  }

  /** A file is not read to find out that it is the same. */
  async #mayHaveChanged(each: Followed): Promise<boolean> {
    const adapter = this.#adapters.get(each.adapter)!;
    each.lookedAtMs = performance.now();
    return !(adapter instanceof FileSecrets) || each.trouble !== null || (await adapter.version(each.name)) !== each.version;
  }

  async #read(each: Followed): Promise<string> {
    each.lookedAtMs = performance.now();
    const told = { name: each.variable, adapter: each.adapter };
    try {
      const { value, version } = await this.#adapters.get(each.adapter)!.get(null, each.name);
      this.#tell({ ...told, version, outcome: 'allowed', changed: each.version !== null && version !== each.version, atMs: Date.now() });
      each.version = version;
      return value;
    } catch (error) {
      this.#tell({ ...told, version: null, outcome: 'failed', changed: false, atMs: Date.now() });
      throw error;
    }
  }

  #tell(read: SecretRead): void {
    if (this.#audit !== null) this.#audit(read);
    else if (this.#kept.length < MAX_KEPT) this.#kept.push(read);
  }
}
