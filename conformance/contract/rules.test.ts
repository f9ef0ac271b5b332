import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Contract } from '../../scripts/contract/contract-model.ts';
import { services } from '../../scripts/contract/paths.ts';
import { runRedocly } from '../../scripts/contract/redocly.ts';
import { applyRule, readExceptions } from '../../specs/rules/exceptions.js';
import { operationRules } from '../../specs/rules/operation-rules.js';
import { internalResolver, viewOperations } from '../../specs/rules/view.js';
import { verifies } from '../http/verifies.ts';
import { type Draft, draftOf, type Loose, operation, realContract } from './draft.ts';

let contract: Contract;
beforeAll(async () => {
  contract = await realContract();
});

/** The messages of one rule about a draft of the contract. */
function broken(rule: string, draft: Draft): string[] {
  const found = operationRules.find(({ name }) => name === rule);
  if (found === undefined) throw new Error(`There is no rule ${rule}.`);
  return services.flatMap((service) => {
    const document = draft.openapi[service];
    return applyRule(found, viewOperations(document, internalResolver(document), null), readExceptions()).map(({ message }) => message);
  });
}

/** A copy of a shared answer, so that changing it changes one operation only. */
function ownAnswer(draft: Draft, id: string, status: string): Loose {
  const { responses } = operation(draft, id);
  const document = draft.openapi['agent-orchestrator'];
  const name = responses[status].$ref.split('/').at(-1);
  responses[status] = structuredClone(document.components.responses[name]);
  return responses[status];
}

interface Case {
  readonly rule: string;
  readonly change: (draft: Draft) => void;
  readonly says: string;
}

const dropExtension = (id: string, name: string) => (d: Draft): void => void delete operation(d, id)[`x-agentos-${name}`];
const setExtension = (id: string, name: string, value: unknown) => (d: Draft): void => void (operation(d, id)[`x-agentos-${name}`] = value);
const dropAnswer = (id: string, status: string) => (d: Draft): void => void delete operation(d, id).responses[status];

const cases: readonly Case[] = [
  { rule: 'operation-id', says: 'has no operationId', change: (d) => void (operation(d, 'getRun').operationId = 'get_run') },
  { rule: 'operation-id', says: 'shares its operationId', change: (d) => void (operation(d, 'getRun').operationId = 'cancelRun') },
  { rule: 'known-extensions', says: 'x-agentos-scope;', change: setExtension('getRun', 'scope', ['runs:read']) },
  { rule: 'scopes', says: 'declares no x-agentos-scopes', change: dropExtension('getRun', 'scopes') },
  { rule: 'scopes', says: 'unknown scope "runs:readd"', change: setExtension('getRun', 'scopes', ['runs:readd']) },
  { rule: 'tenancy', says: 'declares no x-agentos-tenancy', change: dropExtension('getRun', 'tenancy') },
  { rule: 'tenancy', says: 'allowed are', change: setExtension('getRun', 'tenancy', 'global') },
  { rule: 'idempotency', says: 'declares no x-agentos-idempotency', change: dropExtension('createRun', 'idempotency') },
  { rule: 'rate-limit', says: 'declares no x-agentos-rate-limit', change: dropExtension('createRun', 'rate-limit') },
  { rule: 'rate-limit', says: 'allowed are', change: setExtension('createRun', 'rate-limit', 'fast') },
  { rule: 'status-and-hot', says: 'other than planned', change: setExtension('getRun', 'status', 'later') },
  { rule: 'status-and-hot', says: 'other than true', change: setExtension('getRun', 'hot', false) },
  { rule: 'error-shape', says: 'allowed are openai', change: setExtension('getRun', 'error-shape', 'google') },
  { rule: 'error-model', says: 'answers 401 with something other', change: setExtension('getRun', 'error-shape', 'openai') },
  { rule: 'planned-answers-501', says: 'declares no 501', change: setExtension('getRun', 'status', 'planned') },
  { rule: 'planned-answers-501', says: 'is not planned', change: (d) => void (operation(d, 'getRun').responses['501'] = operation(d, 'getRun').responses['500']) },
  { rule: 'security-fits-tenancy', says: 'lists no security scheme', change: (d) => void (operation(d, 'getRun').security = []) },
  { rule: 'security-fits-tenancy', says: 'does not say security', change: (d) => void delete operation(d, 'agentOrchestratorHealth').security },
  { rule: 'identity-errors', says: 'declares no 401', change: dropAnswer('getRun', '401') },
  { rule: 'identity-errors', says: 'declares no 403', change: dropAnswer('getRun', '403') },
  { rule: 'limit-errors', says: 'declares no 429', change: dropAnswer('createRun', '429') },
  { rule: 'administration-apart', says: 'declares no 404', change: dropAnswer('getTenant', '404') },
  { rule: 'slashed', says: 'is not the parameter that ends', change: setExtension('getRun', 'slashed', 'agent_id') },
  { rule: 'input-errors', says: 'declares no 413', change: dropAnswer('createRun', '413') },
  { rule: 'path-errors', says: 'declares no 404', change: dropAnswer('getRun', '404') },
  { rule: 'server-errors', says: 'declares no 500', change: dropAnswer('createRun', '500') },
  { rule: 'error-model', says: 'answers 404 with something other', change: (d) => void (ownAnswer(d, 'getRun', '404').content['application/json'].schema = { type: 'object' }) },
  { rule: 'error-model', says: 'answers 404 with something other', change: (d) => void delete ownAnswer(d, 'getRun', '404').content },
  { rule: 'safe-methods', says: 'is a read and declares', change: setExtension('getRun', 'idempotency', 'key') },
  { rule: 'safe-methods', says: 'declares idempotency none', change: setExtension('createRun', 'idempotency', 'none') },
  { rule: 'idempotency-key', says: 'takes no Idempotency-Key', change: (d) => void (operation(d, 'createRun').parameters = operation(d, 'createRun').parameters.filter((entry: Loose) => !entry.$ref?.endsWith('/IdempotencyKey'))) },
  { rule: 'idempotency-conflict', says: 'declares no 409', change: dropAnswer('createRun', '409') },
  { rule: 'trace-headers', says: 'without the header traceparent', change: (d) => void delete ownAnswer(d, 'getRun', '200').headers.traceparent },
  { rule: 'request-examples', says: 'no example of its application/json request', change: (d) => void delete operation(d, 'createRun').requestBody.content['application/json'].examples },
  { rule: 'response-examples', says: 'no example of its 200', change: (d) => void delete ownAnswer(d, 'getRun', '200').content['application/json'].examples },
  { rule: 'success', says: 'declares no 2xx', change: dropAnswer('getRun', '200') },
  { rule: 'streams', says: 'answers no text/event-stream', change: setExtension('getRun', 'rate-limit', 'stream') },
  { rule: 'streams', says: 'without x-agentos-event-schema', change: (d) => void delete ownAnswer(d, 'streamRunEvents', '200').content['text/event-stream']['x-agentos-event-schema'] },
  { rule: 'alias', says: 'which this document does not have', change: setExtension('getHealthz', 'alias-of', 'nothing') },
  { rule: 'alias', says: 'itself an alias', change: setExtension('getHealthz', 'alias-of', 'getHealthUnversioned') },
  { rule: 'alias', says: 'has other answers', change: dropAnswer('getHealthz', '400') },
  { rule: 'alias', says: 'has other parameters', change: (d) => void operation(d, 'getHealthz').parameters.pop() },
  { rule: 'alias', says: 'has other x-agentos-tenancy', change: setExtension('getHealthz', 'tenancy', 'tenant') },
];

describe('the rules of the contract', () => {
  it('are all kept by the contract as it is', () => {
    expect(operationRules.flatMap(({ name }) => broken(name, draftOf(contract)))).toEqual([]);
  });

  it('have each a case that breaks them', () => {
    expect(operationRules.map(({ name }) => name).filter((name) => !cases.some(({ rule }) => rule === name))).toEqual([]);
  });

  it.each(cases)('$rule: $says', verifies(['PL-04'], ({ rule, change, says }) => {
    const draft = draftOf(contract);
    change(draft);
    expect(broken(rule, draft).join('\n')).toContain(says);
  }));
});

describe('exceptions', () => {
  const rule = { name: 'never', why: 'It is only a test.', check: ({ operationId }: { operationId: string | undefined }) => (operationId === 'getRun' ? ['is wrong'] : []) };
  const view = (id: string): Loose => ({ path: '/', method: 'get', operationId: id, node: {} });

  it('silence the one operation that they name', () => {
    const exception = { rule: 'never', operation: 'getRun', reason: 'It is allowed to.' };
    expect(applyRule(rule, [view('getRun')], [])).toHaveLength(1);
    expect(applyRule(rule, [view('getRun')], [exception])).toEqual([]);
  });

  it('fail when the operation does not need them any more', () => {
    const exception = { rule: 'never', operation: 'cancelRun', reason: 'It used to be wrong.' };
    expect(applyRule(rule, [view('cancelRun')], [exception])[0]?.message).toContain('Remove the exception');
  });
});

describe('redocly lint', () => {
  it('refuses an operation that declares nothing', verifies(['PL-04'], async () => {
    const folder = mkdtempSync(join(tmpdir(), 'agentos-lint-'));
    const file = join(folder, 'bad.json');
    const draft = draftOf(contract);
    for (const name of ['scopes', 'tenancy', 'idempotency', 'rate-limit']) dropExtension('getRun', name)(draft);
    writeFileSync(file, JSON.stringify(draft.openapi['agent-orchestrator']));
    try {
      const result = await runRedocly(['lint', file, '--format=json', '--config=redocly.yaml']);
      expect(result.exitCode).not.toBe(0);
      for (const name of ['scopes', 'tenancy', 'idempotency', 'rate-limit']) expect(result.stdout).toContain(`"ruleId": "agentos/${name}"`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }));
});
