import { describe, expect, it } from 'vitest';
import { storableJson } from './run-rows.ts';

describe('storable JSON', () => {
  it('replaces what no text of the database can hold', () => {
    expect(JSON.parse(storableJson({ text: 'a\u0000b', half: '\ud800', other: '\udfff!' }))).toEqual({ text: 'a\ufffdb', half: '\ufffd', other: '\ufffd!' });
  });

  it('leaves everything else alone, escapes that look alike included', () => {
    for (const value of ['plain', '\\u0000', '\\\\u0000', 'C:\\ud800\\file', '🌦', { 'ke\\u0000y': ['\\', '"', '\n'] }]) {
      expect(JSON.parse(storableJson(value))).toEqual(value);
    }
  });
});
