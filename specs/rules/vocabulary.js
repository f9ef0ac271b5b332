// The values that an operation may declare. `services/platform/http/operation-types.ts` gives them their meaning to code.
import { readFileSync } from 'node:fs';

export const SCOPES = Object.keys(JSON.parse(readFileSync(new URL('../schemas/scopes.json', import.meta.url), 'utf8')).scopes).sort();
export const TENANCIES = ['none', 'tenant', 'platform'];
export const IDEMPOTENCIES = ['none', 'natural', 'key'];
/** How errors look; without the extension it is the error model of Appendix A.3. */
export const ERROR_SHAPES = ['openai'];
export const RATE_LIMITS = ['none', 'read', 'write', 'run_create', 'stream', 'invoke', 'admin'];

/** Every extension that generation and the pipeline read. Any other one is a misspelling. */
export const EXTENSIONS = [
  'x-agentos-alias-of',
  'x-agentos-error-shape',
  'x-agentos-hot',
  'x-agentos-idempotency',
  'x-agentos-rate-limit',
  'x-agentos-scopes',
  'x-agentos-slashed',
  'x-agentos-status',
  'x-agentos-tenancy',
];
