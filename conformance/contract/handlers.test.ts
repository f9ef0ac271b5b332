import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { operations } from '../../generated/handlers/model-policy.ts';
import { repositoryRoot, services } from '../../scripts/contract/paths.ts';
import { verifies } from '../http/verifies.ts';
import { typecheck, withoutHandler } from './typecheck.ts';

const TYPECHECK_MS = 60_000;

const PLANNED = operations.find(({ planned }) => planned);

const HANDLERS = "import type { AgentOrchestratorHandlers as Handlers } from '../../generated/handlers/agent-orchestrator.ts';\n";
const RUN = "type Run = Extract<Awaited<ReturnType<Handlers['createRun']>>, { status: 201 }>['body'];\ndeclare const answer: Run;\n";

/** Snippets beside what must be said about them; nothing for those that are right. */
const snippets: Readonly<Record<string, { readonly text: string; readonly says: RegExp | null }>> = {
  'declared status': { says: null, text: `${HANDLERS}${RUN}export const createRun: Handlers['createRun'] = () => ({ status: 201, body: answer });` },
  'undeclared status': { says: /202/, text: `${HANDLERS}${RUN}export const createRun: Handlers['createRun'] = () => ({ status: 202, body: answer });` },
  'error status': { says: /409/, text: `${HANDLERS}${RUN}export const createRun: Handlers['createRun'] = () => ({ status: 409, body: answer });` },
  'missing member': { says: /correlation_id/, text: `${HANDLERS}${RUN}export const createRun: Handlers['createRun'] = () => ({ status: 201, body: { run: answer.run } });` },
  'JSON for a stream': { says: /stream/, text: `${HANDLERS}export const stream: Handlers['streamRunEvents'] = () => ({ status: 200, body: {} });` },
  'default is filled in': { says: null, text: `${HANDLERS}export const limit = (request: Parameters<Handlers['listRuns']>[0]): number => request.query.limit;` },
  'readiness may be 503': { says: null, text: `${HANDLERS}export const status: Awaited<ReturnType<Handlers['getReadiness']>>['status'] = 503;` },
  // One that is planned, whichever it is now; without any there is nothing to say.
  ...(PLANNED === undefined ? {} : { 'no handler for a planned operation': { says: new RegExp(PLANNED.operationId), text: `import type { ModelPolicyHandlers } from '../../generated/handlers/model-policy.ts';\nexport type Planned = ModelPolicyHandlers['${PLANNED.operationId}'];` } }),
  'no handler for an alias': { says: /getHealthz/, text: `${HANDLERS}export type Alias = Handlers['getHealthz'];` },
  'unregistered error code': { says: /ErrorCode|teapot/, text: "import { AgentOsError } from '../../services/platform/errors.ts';\nexport const error = new AgentOsError('teapot', { message: 'no' });" },
};
const snippetPath = (name: string): string => `conformance/contract/snippet-${name.replaceAll(' ', '-')}.ts`;
const copyPath = (service: string): string => `services/${service}/api/index-without-handler.ts`;

let errors: Record<string, string[]>;
const removed: Record<string, string> = {};
beforeAll(() => {
  const files: Record<string, string> = {};
  for (const [name, { text }] of Object.entries(snippets)) files[snippetPath(name)] = text;
  for (const service of services) {
    const original = readFileSync(join(repositoryRoot, 'services', service, 'api', 'index.ts'), 'utf8');
    const copy = withoutHandler(original);
    removed[service] = copy.removed;
    files[copyPath(service)] = copy.text;
  }
  errors = typecheck(files);
}, TYPECHECK_MS);

describe('a service that lacks a handler', () => {
  it.each(services)('does not compile: %s', verifies(['PL-04'], (service: string) => {
    const messages = errors[copyPath(service)]!.join('\n');
    expect(messages).toMatch(/satisf/);
    expect(messages).toContain(removed[service]);
  }));
});

describe('what a handler may take and return', () => {
  it.each(Object.entries(snippets))('%s', (name, { says }) => {
    const messages = errors[snippetPath(name)]!;
    if (says === null) expect(messages).toEqual([]);
    else expect(messages.join('\n')).toMatch(says);
  });
});
