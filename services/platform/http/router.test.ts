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
