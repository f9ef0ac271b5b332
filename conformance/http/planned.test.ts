/** Operations that the contract specifies and this release does not have: each answers 501 and nothing else stands in. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { operationsOf, serviceNames } from './operations.ts';

const planned = serviceNames.flatMap((service) => operationsOf[service].filter((row) => row.planned).map((row) => ({ service, row, label: `${service}: ${row.method} ${row.path} (${row.operationId})` })));
let node: TestNode;
beforeAll(async () => {
  node = await startNode();
});
afterAll(() => node?.close());

describe('planned operations', () => {
  it('are none: one that is put off stands here by name', () => {
    expect(planned.map(({ label }) => label)).toEqual([]);
  });

  it.each(planned)('$label answers 501', async ({ service, row }) => {
    const answer = await call(node.urls[service], row.path.replaceAll(/\{\w+\}/g, 'x'), {
      method: row.method,
      headers: { 'x-scopes': row.scopes.join(' ') },
      ...(row.body === null ? {} : { body: {} }),
    });
    expect([answer.status, answer.body.error?.code], JSON.stringify(answer.body)).toEqual([501, 'not_implemented']);
    expect(answer.body.error.retryable).toBe(false);
    expect(answer.body.correlation_id).toEqual(expect.any(String));
  });
});
