/** Where the kv tools keep things: a prefix keeps what agents write apart from memory that the platform itself keeps. */
export const KV_KEY_SCHEMA = { type: 'string', minLength: 1, maxLength: 256, description: 'The key.' };
export const KV_NAMESPACE_SCHEMA = { type: 'string', minLength: 1, maxLength: 128, description: 'A group of keys; `default` when absent.' };

export const namespaceOf = (namespace: string | undefined): string => `kv/${namespace ?? 'default'}`;
