import { describe, expect, it } from 'vitest';
import { canonicalHash, canonicalJson } from './canonical.ts';
import { requestHashOf } from './run-request.ts';

describe('canonical JSON', () => {
  it('does not depend on the order of members, and keeps that of items', () => {
    expect(canonicalJson({ b: [2, 1, { d: null, c: 'é' }], a: true })).toBe('{"a":true,"b":[2,1,{"c":"é","d":null}]}');
    expect(canonicalHash({ a: 1, b: 2 })).toBe(canonicalHash({ b: 2, a: 1 }));
    expect(canonicalHash([1, 2])).not.toBe(canonicalHash([2, 1]));
    expect(canonicalHash({ a: 1 })).not.toBe(canonicalHash({ a: '1' }));
  });

  it('leaves out what JSON leaves out', () => {
    expect(canonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}');
    expect(canonicalJson([undefined])).toBe('[null]');
  });

  it('makes two requests the same that differ in their key or in where the agent is named', () => {
    expect(requestHashOf({ input: 'x', idempotency_key: 'a' })).toBe(requestHashOf({ input: 'x', agent_id: 'agt', idempotency_key: 'b' }));
    expect(requestHashOf({ input: 'x' })).not.toBe(requestHashOf({ input: 'x', run_options: {} }));
  });
});
