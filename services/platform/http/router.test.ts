/** Colons in paths: a verb where a template ends in one, part of the identifier elsewhere. The rest is in bad-input.test.ts. */
import { describe, expect, it } from 'vitest';
import type { OperationRow } from './operation-types.ts';
import { createRouter } from './router.ts';

const row = (method: string, path: string): OperationRow => ({ operationId: `${method} ${path}`, method, path, streams: false }) as unknown as OperationRow;
const router = createRouter([
  row('GET', '/v1/memory/{namespace}/items/{key}'),
  row('POST', '/v1/memory/{namespace}:search'),
  row('GET', '/v1/memory:usage'),
  row('GET', '/v1/runs/{run_id}'),
  row('POST', '/v1/runs/{run_id}:cancel'),
  { ...row('GET', '/v1/models/{model_id}'), slashed: true },
]);

describe('a colon', () => {
  it.each([
    ['GET', '/v1/memory/notes/items/user:1', '/v1/memory/{namespace}/items/{key}', { namespace: 'notes', key: 'user:1' }],
    ['GET', '/v1/memory/notes/items/user%3A1%3A', '/v1/memory/{namespace}/items/{key}', { namespace: 'notes', key: 'user:1:' }],
    ['GET', '/v1/memory/a:b/items/c', '/v1/memory/{namespace}/items/{key}', { namespace: 'a:b', key: 'c' }],
    ['POST', '/v1/memory/a:b:search', '/v1/memory/{namespace}:search', { namespace: 'a:b' }],
    ['GET', '/v1/memory:usage', '/v1/memory:usage', {}],
    ['POST', '/v1/runs/run_1:cancel', '/v1/runs/{run_id}:cancel', { run_id: 'run_1' }],
  ])('%s %s', (method, target, template, path) => {
    const match = router.match(method, target);
    expect([match.row.path, match.path]).toEqual([template, path]);
  });

  it.each(['/v1/runs/run_1:explode', '/v1/runs/run_1:', '/v1/memory/notes:explode'])('with an unknown verb: %s', (target) => {
    expect(() => router.match('GET', target)).toThrow(expect.objectContaining({ code: 'not_found' }));
  });
});

describe('a slash in disguise', () => {
  it('stands in an identifier where the contract says so', () => {
    const { path } = router.match('GET', '/v1/models/meta-llama%2FLlama-3.1-8B%3Afree');
    expect(path).toEqual({ model_id: 'meta-llama/Llama-3.1-8B:free' });
  });

  it.each(['/v1/runs/a%2Fb', '/v1/memory/a%2Fb/items/c', '/v1/models/a%5Cb', '/v1/models/a/b', '/v1/models/%00'])('is no path elsewhere: %s', (target) => {
    expect(() => router.match('GET', target)).toThrow(expect.objectContaining({ code: 'not_found' }));
  });
});
