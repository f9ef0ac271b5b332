import { describe, expect, it } from 'vitest';
import { checkInput, checkOutput, problemsOf, schemaProblem } from './schema-check.ts';

describe('schemas of tools', () => {
  it('say where a value does not fit', () => {
    const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
    expect(problemsOf(schema, { city: 'Bern' }, '/input')).toEqual([]);
    expect(problemsOf(schema, { city: 7 }, '/input')).toEqual([{ path: '/input/city', message: 'must be string' }]);
    expect(problemsOf(schema, { city: 'Bern', extra: 1 }, '/input')[0]!.message).toContain("'extra'");
    expect(() => checkInput('tool.x', schema, {})).toThrow(expect.objectContaining({ code: 'invalid_request' }));
    expect(() => checkOutput('tool.x', schema, {})).toThrow(expect.objectContaining({ code: 'tool_failed' }));
    checkOutput('tool.x', null, 'anything');
  });

  it('are read in the dialect they name', () => {
    const tuple = { type: 'array', items: [{ type: 'string' }, { type: 'number' }] };
    expect(schemaProblem({ $schema: 'http://json-schema.org/draft-07/schema#', ...tuple })).toBeNull();
    expect(problemsOf({ $schema: 'http://json-schema.org/draft-07/schema#', ...tuple }, ['a', 'b'], '/input')).toHaveLength(1);
    expect(problemsOf({ $schema: 'https://json-schema.org/draft/2020-12/schema', prefixItems: tuple.items }, ['a', 'b'], '/input')).toHaveLength(1);
    expect(problemsOf({ type: 'string', format: 'who-knows', 'x-own': true }, 'text', '/input')).toEqual([]);
  });

  it('cannot be too big, too deep, broken, or look elsewhere', () => {
    let deep: Record<string, unknown> = {};
    for (let level = 0; level < 60; level += 1) deep = { not: deep };
    for (const schema of [{ type: 'nothing' }, { description: 'x'.repeat(70_000) }, deep, { $ref: 'https://example.com/schema.json' }, { pattern: '(' }, { required: 'a' }]) {
      expect(schemaProblem(schema), JSON.stringify(schema).slice(0, 60)).not.toBeNull();
    }
  });

  it('cannot reach the schema of somebody else by its name', () => {
    expect(schemaProblem({ $id: 'https://one.example/a', properties: { inner: { $id: 'https://one.example/inner', type: 'string' } } })).toBeNull();
    for (const name of ['https://one.example/a', 'https://one.example/inner']) expect(schemaProblem({ $ref: name }), name).toContain("can't resolve reference");
    expect(schemaProblem({ $id: 'https://one.example/a', type: 'number' }), 'equal names do not collide').toBeNull();
  });

  it('may refer within themselves', () => {
    const tree = { $defs: { node: { type: 'object', properties: { children: { type: 'array', items: { $ref: '#/$defs/node' } } } } }, $ref: '#/$defs/node' };
    expect(problemsOf(tree, { children: [{ children: [{ children: 7 }] }] }, '/input')).toHaveLength(1);
  });

  it.each(['^(a+)+$', '(x+x+)+y', '^(([a-z])+.)+[A-Z]([a-z])+$', '(.*a){25}'])('cannot keep the process busy with the pattern %s', (pattern) => {
    const startedAt = performance.now();
    const text = pattern.startsWith('(x') ? 'x'.repeat(40) : 'a'.repeat(40) + (pattern.startsWith('(.') ? '' : '!');
    const problems = problemsOf({ type: 'string', pattern }, text, '/input');
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    if (problems.length > 0) expect(problems[0]!.message).toMatch(/pattern/);
  });

  it('cannot do so by many patterns that take a little each', () => {
    const startedAt = performance.now();
    const problems = problemsOf({ items: { pattern: '^(a+)+$' } }, Array.from({ length: 2_000 }, () => `${'a'.repeat(21)}!`).concat('b'), '/input');
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(problems).toHaveLength(1);
  });

  it.each([
    ['date-time', '2025-12-19T22:15:30Z', '2025-02-30T00:00:00Z'], ['date', '2024-02-29', '2025-02-29'], ['email', 'ada@example.com', 'ada at example.com'],
    ['uri', 'https://example.com/a?b#c', 'example'], ['ipv4', '192.0.2.1', '192.0.2.256'], ['uuid', '01939fbb-5c1d-7c2e-9f1d-6b4c2f0a8e11', '01939fbb'],
  ])('hold the format %s, in either dialect', (format, fits, fitsNot) => {
    for (const dialect of [{}, { $schema: 'http://json-schema.org/draft-07/schema#' }]) {
      const schema = { ...dialect, type: 'object', properties: { value: { type: 'string', format } } };
      expect(problemsOf(schema, { value: fits }, '/input')).toEqual([]);
      expect(problemsOf(schema, { value: fitsNot }, '/input')).toEqual([{ path: '/input/value', message: `must match format "${format}"` }]);
    }
  });

  it('cannot keep the process busy with a format either', () => {
    const startedAt = performance.now();
    for (const format of ['uri', 'uri-reference', 'uri-template', 'url', 'email', 'hostname', 'ipv6', 'json-pointer', 'iso-date-time', 'duration', 'regex']) {
      for (const text of ['a'.repeat(200_000), `http://${'a.'.repeat(100_000)}`, `${'a@'.repeat(100_000)}!`, `${'1:'.repeat(100_000)}`, '{'.repeat(50_000)]) problemsOf({ type: 'string', format }, text, '/input');
    }
    expect(performance.now() - startedAt).toBeLessThan(11 * 5 * 200);
  });

  it('match patterns as usual', () => {
    for (const [pattern, fits, fitsNot] of [['^[a-z]+$', 'abc', 'ABC'], ['^\\d{4}-\\d{2}$', '2026-11', '2026'], ['b|c', 'xcx', 'xax'], ['^\\p{L}+$', 'Ünï', '12']] as const) {
      expect(problemsOf({ pattern }, fits, '/input'), pattern).toEqual([]);
      expect(problemsOf({ pattern }, fitsNot, '/input'), pattern).toHaveLength(1);
    }
  });
});
