import { describe, expect, it } from 'vitest';
import { estimateTokens, truncateToTokens } from './tokens.ts';

describe('estimateTokens', () => {
  it('counts four ASCII characters as one token and every other unit as one', () => {
    expect(estimateTokens('')).toBe(0);
    expect(estimateTokens('a')).toBe(1);
    expect(estimateTokens('abcdefgh')).toBe(2);
    expect(estimateTokens('日本語')).toBe(3);
    expect(estimateTokens('abcd日')).toBe(2);
  });
});

describe('truncateToTokens', () => {
  it('leaves a text that fits and cuts between words otherwise', () => {
    expect(truncateToTokens('short text', 10)).toEqual({ text: 'short text', truncated: false });
    const cut = truncateToTokens('alpha beta gamma delta epsilon zeta', 5);
    expect(cut).toEqual({ text: 'alpha beta gamma', truncated: true });
    expect(estimateTokens(cut.text)).toBeLessThanOrEqual(5);
  });

  it('never splits a surrogate pair', () => {
    for (let max = 1; max < 12; max += 1) {
      const { text } = truncateToTokens('😀😀😀😀😀😀', max);
      expect(/[\ud800-\udbff]$/.test(text)).toBe(false);
      expect(estimateTokens(text)).toBeLessThanOrEqual(max);
    }
  });
});
