// The values that an operation may declare. `services/platform/http/operation-types.ts` gives them their meaning to code.

export const SCOPES = [
  'agents:read',
  'agents:write',
  'models:invoke',
  'models:list',
  'policy:check',
  'runs:cancel',
  'runs:create',
  'runs:forward',
  'runs:read',
  'tenants:admin',
  'tools:invoke',
];
export const TENANCIES = ['none', 'tenant', 'platform'];
export const IDEMPOTENCIES = ['none', 'natural', 'key'];
export const RATE_LIMITS = ['none', 'read', 'write', 'run_create', 'stream', 'invoke', 'admin'];

/** Every extension that generation and the pipeline read. Any other one is a misspelling. */
export const EXTENSIONS = [
  'x-agentos-alias-of',
  'x-agentos-hot',
  'x-agentos-idempotency',
  'x-agentos-rate-limit',
  'x-agentos-scopes',
  'x-agentos-status',
  'x-agentos-tenancy',
];
