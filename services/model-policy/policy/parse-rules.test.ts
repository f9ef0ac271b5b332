import { describe, expect, it } from 'vitest';
import { parseRules } from '../policy/parse-rules.ts';

describe('parseRules', () => {
  it('reads what earlier versions stored', () => {
    expect(parseRules('pol_x', { pii: { email: 'block' }, denied_terms: ['falcon'] })).toEqual([
      { id: 'pii-email', kind: 'pii', types: ['email'], action: 'block' },
      { id: 'denied-terms', kind: 'terms', terms: ['falcon'], action: 'block' },
    ]);
    expect(parseRules('pol_x', { pii: {}, denied_terms: [] })).toEqual([]);
  });

  it.each([
    [null, '/rules must be a list'],
    [{ deny: [] }, '/deny is not known'],
    [{ pii: { emial: 'redact' } }, '/rules/0/types must be one of'],
    [{ denied_terms: 'x' }, '/rules/0/terms must be a list'],
    [[{ id: 'a', kind: 'pii', types: ['email'], action: 'mask' }], '/rules/0/action must be one of redact, block, allow'],
    [[{ id: 'a', kind: 'constructor' }], '/rules/0/kind must be one of'],
    [[{ id: 'a', kind: 'max_tokens', max: 0 }], '/rules/0/max must be a positive integer'],
    [[{ id: 'a', kind: 'models', deny: ['x'] }, { id: 'a', kind: 'models', deny: ['y'] }], '/rules/1/id is the id of another rule'],
    [[{ id: 'a', kind: 'attributes', require: { regoin: ['eu'] } }], '/rules/0/require regoin is not known'],
    [[{ id: 'a', kind: 'terms', terms: ['x'], action: 'block', directoin: 'both' }], '/rules/0/directoin is not a known member'],
  ])('names what is wrong in %j', (value, message) => {
    expect(() => parseRules('pol_x', value)).toThrowError(message);
  });
});
