/**
 * An adapter of one's own in one file: the memory of tenants, kept in a JSON file.
 *
 *     npx agentos conformance --port memory --adapter examples/custom-adapter/json-file-memory.ts
 *
 * It says truly what it can do: it survives its process, and it does not search. It takes what it needs of AgentOS from
 * the kit that `create` is given; the imports are types alone, so the same file works outside of this repository.
 * Every change rewrites the file, which is right for a few thousand items of one process and for nothing larger.
 */
import { mkdtempSync, openSync, closeSync, fsyncSync, readFileSync, existsSync, renameSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AdapterKit, ExternalFactory } from '../../conformance/ports/external-adapter.ts';
import type { MemoryItem, MemoryPort, MemoryWrite } from '../../services/agent-orchestrator/ports/memory.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';

type Refusal = AdapterKit['AgentOsError'];
/** Tenant → namespace → key → item: nothing can be found without naming a tenant. */
type Tenants = Record<string, Record<string, Record<string, MemoryItem>>>;

const MAX_NAME = 256;
const MAX_JSON_BYTES = 64 * 1024;
const MAX_METADATA_BYTES = 4 * 1024;
const HUNDRED_YEARS_SECONDS = 100 * 366 * 86_400;

const byBytes = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other));
const visible = (item: MemoryItem): boolean => item.expiresAt === null || Date.parse(item.expiresAt) > Date.now();

export class JsonFileMemory implements MemoryPort {
  readonly #file: string;
  readonly #AgentOsError: Refusal;
  readonly #tenants: Tenants;

  constructor(file: string, { AgentOsError }: Pick<AdapterKit, 'AgentOsError'>) {
    this.#file = file;
    this.#AgentOsError = AgentOsError;
    this.#tenants = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8'), withoutPrototype) as Tenants) : (Object.create(null) as Tenants);
  }

  capabilities() {
    return { adapter: 'json-file', contractVersion: '1.1', durable: true, features: [] as string[] };
  }

  async put(auth: AuthContext, write: MemoryWrite): Promise<MemoryItem & { readonly created: boolean }> {
    const { valueJson, metadataJson, bytes } = this.#checked(write);
    const spaces = (this.#tenants[auth.tenant_id] ??= Object.create(null) as Tenants[string]);
    this.#makeRoom(spaces, write, bytes);
    const space = (spaces[write.namespace] ??= Object.create(null) as Record<string, MemoryItem>);
    const old = space[write.key];
    const seen = old !== undefined && visible(old) ? old : undefined;
    const now = Date.now();
    const item: MemoryItem = {
      namespace: write.namespace, key: write.key, value: JSON.parse(valueJson) as unknown, metadata: JSON.parse(metadataJson) as MemoryItem['metadata'], bytes,
      createdAt: seen?.createdAt ?? new Date(now).toISOString(), updatedAt: new Date(now).toISOString(),
      expiresAt: write.ttlSeconds === undefined ? null : new Date(now + write.ttlSeconds * 1000).toISOString(), embedded: false,
    };
    space[write.key] = item;
    this.#save();
    return { ...structuredClone(item), created: seen === undefined };
  }

  async get(auth: AuthContext, namespace: string, key: string): Promise<MemoryItem | null> {
    const item = this.#tenants[auth.tenant_id]?.[namespace]?.[key];
    return item !== undefined && visible(item) ? structuredClone(item) : null;
  }

  async delete(auth: AuthContext, namespace: string, key: string): Promise<boolean> {
    const item = this.#tenants[auth.tenant_id]?.[namespace]?.[key];
    if (item === undefined) return false;
    delete this.#tenants[auth.tenant_id]![namespace]![key];
    this.#save();
    return visible(item);
  }

  async list(auth: AuthContext, namespace: string, query: { readonly limit: number; readonly after?: string; readonly prefix?: string }): Promise<readonly MemoryItem[]> {
    const items = this.#items(auth, namespace).filter(({ key }) => byBytes(key, query.after ?? '') > 0 && key.startsWith(query.prefix ?? ''));
    return structuredClone(items.slice(0, query.limit));
  }

  search = (): Promise<never> => this.#cannot('keyword_search');
  searchByVector = (): Promise<never> => this.#cannot('vector_search');
  embeddings = (): Promise<never> => this.#cannot('vector_search');

  async namespaces(auth: AuthContext, query: { readonly limit: number; readonly after?: string }) {
    return Object.keys(this.#tenants[auth.tenant_id] ?? {})
      .filter((namespace) => byBytes(namespace, query.after ?? '') > 0)
      .sort(byBytes)
      .map((namespace) => ({ namespace, ...sum(this.#items(auth, namespace)) }))
      .filter(({ items }) => items > 0)
      .slice(0, query.limit);
  }

  async usage(auth: AuthContext): Promise<{ readonly items: number; readonly bytes: number }> {
    return sum(Object.keys(this.#tenants[auth.tenant_id] ?? {}).flatMap((namespace) => this.#items(auth, namespace)));
  }

  async sweep(limit: number): Promise<number> {
    const expired = Object.values(this.#tenants)
      .flatMap((spaces) => allOf(spaces).filter((item) => !visible(item)).map((item) => ({ spaces, item })))
      .sort((one, other) => Date.parse(one.item.expiresAt!) - Date.parse(other.item.expiresAt!))
      .slice(0, limit);
    for (const { spaces, item } of expired) delete spaces[item.namespace]![item.key];
    if (expired.length > 0) this.#save();
    return expired.length;
  }

  /** What can be seen, in order of the keys' bytes. */
  #items(auth: AuthContext, namespace: string): MemoryItem[] {
    return Object.values(this.#tenants[auth.tenant_id]?.[namespace] ?? {}).filter(visible).sort((one, other) => byBytes(one.key, other.key));
  }

  /** A capability that is not declared is refused: an empty answer would pass for "nothing found". */
  #cannot(feature: string): Promise<never> {
    return Promise.reject(new this.#AgentOsError('invalid_request', { message: `The JSON file does not offer ${feature}; use another adapter of the memory port.`, details: { reason: 'feature_not_offered', feature } }));
  }

  #checked(write: MemoryWrite): { valueJson: string; metadataJson: string; bytes: number } {
    const refuse = (message: string): never => {
      throw new this.#AgentOsError('invalid_request', { message, details: { reason: 'out_of_bounds' } });
    };
    const storable = (json: string): boolean => !/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(json);
    for (const name of [write.namespace, write.key]) {
      // eslint-disable-next-line no-control-regex -- control characters are what is looked for
      if (name.length === 0 || name.length > MAX_NAME || /[\u0000-\u001f\u007f]/.test(name)) refuse(`A namespace or key has 1 to ${MAX_NAME} characters and no control character.`);
    }
    if (write.embedding !== undefined) refuse('The JSON file keeps no vectors (vector_search is not offered).');
    const { ttlSeconds, text = '' } = write;
    if (ttlSeconds !== undefined && !(ttlSeconds > 0 && ttlSeconds <= HUNDRED_YEARS_SECONDS)) refuse('An item lives for more than 0 seconds and at most a hundred years.');
    if (Object.values(write.metadata ?? {}).some((value) => !['string', 'number', 'boolean'].includes(typeof value))) refuse('Metadata are strings, numbers and booleans.');
    const valueJson = JSON.stringify(write.value ?? null);
    const metadataJson = JSON.stringify(write.metadata ?? {});
    if (Buffer.byteLength(valueJson) > MAX_JSON_BYTES || Buffer.byteLength(text) > MAX_JSON_BYTES) refuse(`A value and a text take at most ${MAX_JSON_BYTES} bytes each.`);
    if (Buffer.byteLength(metadataJson) > MAX_METADATA_BYTES) refuse(`Metadata take at most ${MAX_METADATA_BYTES} bytes.`);
    if (![valueJson, metadataJson, JSON.stringify([write.key, write.namespace, text])].every(storable)) refuse('NUL and half surrogate pairs cannot be stored.');
    return { valueJson, metadataJson, bytes: [write.key, valueJson, metadataJson, text].reduce((bytes, part) => bytes + Buffer.byteLength(part), 0) };
  }

  /** What has expired makes room first. @throws AgentOsError quota_exceeded. */
  #makeRoom(spaces: Tenants[string], write: MemoryWrite, requested: number): void {
    const limit = write.maxBytes ?? null;
    const old = spaces[write.namespace]?.[write.key]?.bytes ?? 0;
    if (limit === null || requested <= old) return;
    const used = (): number => sum(allOf(spaces)).bytes;
    if (used() + requested - old <= limit) return;
    for (const item of allOf(spaces)) if (!visible(item)) delete spaces[item.namespace]![item.key];
    const left = spaces[write.namespace]?.[write.key]?.bytes ?? 0;
    if (used() + requested - left <= limit) return;
    throw new this.#AgentOsError('quota_exceeded', { message: `The items of this tenant take ${used()} of ${limit} bytes; this one takes ${requested}. Delete some.`, retryable: false, details: { reason: 'memory_bytes_exceeded', limit, used: used(), requested } });
  }

  /** Written beside the file and moved over it, so that a crash leaves the old one or the new one and nothing between. */
  #save(): void {
    const draft = `${this.#file}.new`;
    const descriptor = openSync(draft, 'w', 0o600);
    try {
      writeSync(descriptor, JSON.stringify(this.#tenants));
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(draft, this.#file);
  }
}

const allOf = (spaces: Tenants[string]): MemoryItem[] => Object.values(spaces).flatMap((space) => Object.values(space));

const sum = (items: readonly MemoryItem[]): { items: number; bytes: number } => ({ items: items.length, bytes: items.reduce((bytes, item) => bytes + item.bytes, 0) });

/** Keys are the caller's words, and `__proto__` is a word. */
function withoutPrototype(_name: string, value: unknown): unknown {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.assign(Object.create(null) as object, value) : value;
}

const factory: ExternalFactory<'memory'> = {
  port: 'memory',
  adapter: 'json-file',
  create(kit) {
    const folder = mkdtempSync(join(tmpdir(), 'json-file-memory-'));
    return {
      memory: new JsonFileMemory(join(folder, 'memory.json'), kit),
      dispose: async () => rmSync(folder, { recursive: true, force: true }),
    };
  },
};
export default factory;
